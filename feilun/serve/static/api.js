// Talking to the server: JSON calls, streams that attach again by themselves, and the one door for HTML.

const FIRST_WAIT_MS = 400, LONGEST_WAIT_MS = 6000;

export class ApiError extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The JSON of a call, null where the answer has no body. Throws ApiError: status 0 and code "lost" when the server was not reached. */
export async function api(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options).catch((error) => {
    throw new ApiError(0, error.message, "lost");
  });
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
}

async function refusal(response) {
  if (response.status === 401) location.reload();
  const error = (await response.json().catch(() => ({}))).error;
  return new ApiError(response.status, error?.message ?? response.statusText, error?.code);
}

/**
 * Server-sent events of `path`, to the last one: `onevent(name, data)` returns true when there is nothing more to come.
 * A connection that breaks is made again, after a growing wait; `onlost(true)` and `onlost(false)` tell of it.
 * Ends quietly when `signal` is aborted; throws ApiError when the server refuses.
 */
export async function events(path, { onevent, onlost = () => {}, signal }) {
  let wait = FIRST_WAIT_MS;
  while (!signal?.aborted) {
    try {
      const response = await fetch(path, { headers: { Accept: "text/event-stream" }, signal });
      if (response.ok) {
        onlost(false);
        const heard = await listen(response, (...event) => (wait = FIRST_WAIT_MS, onevent(...event)));
        if (heard === "last") return;
      } else if (response.status < 500 && response.status !== 429) throw await refusal(response);
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof ApiError) throw error;
    }
    onlost(true);
    await pause(wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

async function listen(response, onevent) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const frames = (rest + part.value).replaceAll("\r\n", "\n").split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const event = parse(frame);
      if (event && onevent(event.name, event.data)) {
        reader.cancel().catch(() => {});
        return "last";
      }
    }
  }
  return "broken";
}

function parse(frame) {
  let name = "message";
  const data = [];
  for (const line of frame.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}

/** A fresh key for one act; the same one goes with every repetition of it. */
export const newKey = () => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

/** One signal, whole or not at all: what the network loses is sent again under the same key, and counts once. */
export async function signal(feedback, path = "/v1/feedback") {
  const key = newKey();
  for (let left = 3, wait = FIRST_WAIT_MS; ; left--, wait *= 2) {
    try {
      return await api("POST", path, feedback, { "Idempotency-Key": key });
    } catch (error) {
      if (!left || (error.status !== 0 && error.status !== 503)) throw error;
      await pause(wait);
    }
  }
}

/**
 * The only place that puts HTML into the page. Safe because `html` is a block that the server rendered and cleaned after rendering:
 * an allow-list of tags and attributes, no script, no style, no media; and the page's policy forbids inline scripts besides.
 */
export function setHtml(node, html) {
  node.innerHTML = html;
}
