/** Whether a request asks for nothing but an answer. */
export function isReading({ method }: Request): boolean {
  return /^(GET|HEAD)$/.test(method);
}

/** Whether a request may be sent again whatever became of the first time. */
export function isIdempotent({ method }: Request): boolean {
  return /^(GET|HEAD|OPTIONS|PUT|DELETE)$/.test(method);
}
