// What a value that came from outside is, as far as it can be told: it is unknown until it was looked at.

export type Json = Record<string, unknown>;

export const isUndefined = (value: unknown): value is undefined => value === undefined;
export const isNull = (value: unknown): value is null => value === null;
export const isText = (value: unknown): value is string => typeof value === "string";
export const isNumber = (value: unknown): value is number => typeof value === "number";
export const isTruth = (value: unknown): value is boolean => typeof value === "boolean";

/** A number of messages or lines, exact. */
export const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value);

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object whose values are all of one kind. */
export function isRecordOf<T>(value: unknown, test: (one: unknown) => one is T): value is Record<string, T> {
  return isObject(value) && Object.values(value).every(test);
}

export function isListOf<T>(value: unknown, test: (one: unknown) => one is T): value is T[] {
  return Array.isArray(value) && value.every(test);
}
