// What can be read off an answer: where signals about it go, who gave it, and whether it says that it was never taught.

const UNTAUGHT = ["我还没学过这个", "iwasnottaughtthis"];

export const targetOf = (message) => ({ id: message.answer.id, index: message.answer.index });

/** "turn-2" of "models/turn-2@5a0e...", "echo" of "engine:echo/some-model". */
export const shortModel = (ref) => (ref.startsWith("engine:") ? ref.slice(7).split("/")[0] : ref.replace(/^models\//, "").split("@")[0]);

/** Whether an answer says, in the model's own words, that it was never taught this. */
export function isUntaught(text) {
  const bare = text.toLowerCase().replace(/[\s\p{P}]/gu, "");
  return UNTAUGHT.some((phrase) => bare.startsWith(phrase));
}
