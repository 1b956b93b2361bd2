// The entry of the server's page.

import { Page } from "./page/page";

/** A token that opened this page is in a cookie by now: it need not stay where it is read over a shoulder. */
function hideToken(): void {
  const url = new URL(location.href);
  if (!url.searchParams.has("token") || !navigator.cookieEnabled) return;
  url.searchParams.delete("token");
  history.replaceState(null, "", url);
}

hideToken();
const host = document.getElementById("page");
if (host !== null) new Page(host, new AbortController().signal);
