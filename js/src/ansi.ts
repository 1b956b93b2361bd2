// The colours of terminal output: escape sequences in, runs of plain text with class names out. Pure.
//
// A colour is a hue of the theme, not the number that was written: what is readable on black need not be so on white.

export type Hue = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "strong" | "soft";

/** What is in force at some point of the output. */
interface Style {
  readonly fg: Hue | null;
  readonly bg: Hue | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strike: boolean;
  readonly inverse: boolean;
}

export interface Run {
  text: string;
  /** Class names, or the empty text. */
  classes: string;
}

const PLAIN: Style = {
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
};

/** The sixteen colours of old. Black and white are ink: the theme decides which of them can be seen. */
const OLD: readonly Hue[] = ["soft", "red", "green", "yellow", "blue", "magenta", "cyan", "soft"];
const BRIGHT: readonly Hue[] = ["soft", "red", "green", "yellow", "blue", "magenta", "cyan", "strong"];
const WHEEL: readonly Hue[] = ["red", "yellow", "green", "cyan", "blue", "magenta"];
/** A difference of channels below this is grey. */
const GREY = 36;

const ESC = "\\u001b";
const STRING_END = `(?:\\u0007|${ESC}\\\\)`;
/** Any escape sequence, complete or cut off, or a control character but the tab. The group: the numbers of a colour. */
const ESCAPE = new RegExp(
  [
    `${ESC}\\[([0-9;:]*)m`,
    `${ESC}\\[[0-?]*[ -/]*[@-~]?`,
    `${ESC}[\\]PX^_][^\\u0007\\u001b]*${STRING_END}?`,
    `${ESC}.?`,
    "(?!\\t)\\p{Cc}",
  ].join("|"),
  "gu",
);

/** Cuts a line into runs. Each line brings its own colours: nothing goes on from the line before. */
export function parseAnsi(text: string): Run[] {
  const runs: Run[] = [];
  let style = PLAIN;
  let from = 0;
  const add = (to: number): void => {
    if (to <= from) return;
    const part = text.slice(from, to);
    const classes = classesOf(style);
    const last = runs[runs.length - 1];
    if (last?.classes === classes) last.text += part;
    else runs.push({ text: part, classes });
  };
  for (const match of text.matchAll(ESCAPE)) {
    add(match.index);
    from = match.index + match[0].length;
    if (match[1] !== undefined) style = changed(style, match[1]);
  }
  add(text.length);
  return runs;
}

/** The style after one `ESC [ … m`. What is not known is passed over. */
function changed(before: Style, parameters: string): Style {
  let style: Style = before;
  const fields = parameters.split(";");
  for (let i = 0; i < fields.length; i++) {
    const [code, ...sub] = (fields[i] as string).split(":").map(Number) as [number, ...number[]];
    if (code === 38 || code === 48 || code === 58) {
      // 38;5;N and 38;2;R;G;B, or the same with colons, where an empty field may stand before R.
      const rest = sub.length > 0 ? sub : fields.slice(i + 1, i + 5).map(Number);
      const direct = rest[0] === 2;
      const at = sub.length > 4 ? 2 : 1;
      const hue = direct ? hueOfRgb(rest[at] ?? 0, rest[at + 1] ?? 0, rest[at + 2] ?? 0) : hueOf256(rest[1] ?? 0);
      if (!direct && rest[0] !== 5) continue;
      if (sub.length === 0) i += direct ? 4 : 2;
      if (code === 38) style = { ...style, fg: hue };
      else if (code === 48) style = { ...style, bg: hue }; // 58 colours the underline, which is not shown
      continue;
    }
    style = simple(style, code, sub[0]);
  }
  return style;
}

function simple(style: Style, code: number, sub: number | undefined): Style {
  if (code >= 30 && code <= 37) return { ...style, fg: OLD[code - 30] as Hue };
  if (code >= 40 && code <= 47) return { ...style, bg: OLD[code - 40] as Hue };
  if (code >= 90 && code <= 97) return { ...style, fg: BRIGHT[code - 90] as Hue };
  if (code >= 100 && code <= 107) return { ...style, bg: BRIGHT[code - 100] as Hue };
  switch (code) {
    case 0:
      return PLAIN;
    case 1:
      return { ...style, bold: true };
    case 2:
      return { ...style, dim: true };
    case 3:
      return { ...style, italic: true };
    case 4:
      return { ...style, underline: sub !== 0 };
    case 7:
      return { ...style, inverse: true };
    case 9:
      return { ...style, strike: true };
    case 21:
      return { ...style, underline: true };
    case 22:
      return { ...style, bold: false, dim: false };
    case 23:
      return { ...style, italic: false };
    case 24:
      return { ...style, underline: false };
    case 27:
      return { ...style, inverse: false };
    case 29:
      return { ...style, strike: false };
    case 39:
      return { ...style, fg: null };
    case 49:
      return { ...style, bg: null };
    default:
      return style;
  }
}

function hueOf256(n: number): Hue | null {
  if (n < 8) return OLD[n] ?? null;
  if (n < 16) return BRIGHT[n - 8] ?? null;
  if (n > 255) return null;
  if (n >= 232) return hueOfRgb(8 + 10 * (n - 232), 8 + 10 * (n - 232), 8 + 10 * (n - 232));
  const level = (step: number): number => (step === 0 ? 0 : 55 + 40 * step);
  const cube = n - 16;
  return hueOfRgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function hueOfRgb(r: number, g: number, b: number): Hue | null {
  const most = Math.max(r, g, b);
  const range = most - Math.min(r, g, b);
  if (!Number.isFinite(most)) return null;
  if (range < GREY) return most > 200 ? "strong" : "soft";
  const sixth = most === r ? (g - b) / range : most === g ? 2 + (b - r) / range : 4 + (r - g) / range;
  return WHEEL[(Math.round(sixth) + 6) % 6] as Hue;
}

function classesOf(style: Style): string {
  const out: string[] = [];
  const ground = style.inverse ? (style.fg ?? (style.bg === null ? "ink" : null)) : style.bg;
  // On a coloured ground the text is the theme's own: no other colour is readable on every ground.
  if (ground !== null) out.push(`bw-on-${ground}`);
  else if (style.fg !== null && !style.inverse) out.push(`bw-ink-${style.fg}`);
  else if (style.dim) out.push("bw-ink-soft");
  if (style.bold) out.push("bw-bold");
  if (style.italic) out.push("bw-italic");
  if (style.underline) out.push("bw-underline");
  if (style.strike) out.push("bw-strike");
  return out.join(" ");
}
