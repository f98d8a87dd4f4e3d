// Asks the service of this page for ages. Nothing else on the page uses the network.

/** The ages whose probabilities are asked for: those of the slider. */
export const THRESHOLDS = Array.from({ length: 100 }, (_, n) => n + 1);

/** An error with a sentence for people; `status` is 0 if there was no answer. */
export class ServiceError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * Estimate the ages in pictures.
 * @param {File[]} files the pictures
 * @param {string} key the API key, or ""
 * @param {AbortSignal} signal cancels the request
 * @returns {Promise<object[]>} a result for each picture, as `wrinkle predict --json` prints it
 */
export async function estimate(files, key, signal) {
  const query = new URLSearchParams({ distribution: "true" });
  for (const age of THRESHOLDS) query.append("at_least", age);
  const body = new FormData();
  for (const file of files) body.append("pictures", file, file.name);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response, answer;
  try {
    response = await fetch(`v1/ages?${query}`, { method: "POST", body, headers, signal });
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(
      response?.status ?? 0,
      "The service did not answer. It may have ended, or the pictures may be far too large.",
    );
  }
  // With several pictures, the view says what is wrong with each.
  if (!response.ok && (files.length === 1 || !answer.pictures)) {
    throw new ServiceError(response.status, sentence(answer.detail));
  }
  return answer.pictures;
}

/** A text with a capital letter and a full stop, but names of files as they are. */
export function sentence(text) {
  const named = /^\S+\.\w+:/.test(text);
  const start = named ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.…!?]$/.test(start) ? start : `${start}.`;
}
