/**
 * The engine throws where the stack ends, and a guest chooses where that is. What must not stop in
 * the middle of a change asks for its room first: then it ends before anything has changed.
 */

/** Room for a few calls of our own, such as the change of a map and its sums. */
export const SMALL_FRAMES = 12
/** Room for a line of the log that is printed as it is, down to the call of the system. */
export const MEDIUM_FRAMES = 40
/** Room for a line of the log, with all that the log's library does about it. */
export const LARGE_FRAMES = 96

/** Each turn takes some 240 bytes: the arguments are moved so that no engine leaves them out. */
function descend(
  left: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
  f: number,
  g: number,
  h: number,
  i: number,
  j: number,
  k: number,
  l: number,
  m: number,
  n: number,
  o: number,
): number {
  if (left === 0) return a
  return 1 + descend(left - 1, b, c, d, e, f, g, h, i, j, k, l, m, n, o, a)
}

/** Throws the engine's RangeError where there is no room for `frames` of about 240 bytes. */
export function reserveStack(frames: number): number {
  return descend(frames, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
}
