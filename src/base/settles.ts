/** Waits that end: for a promise, but no longer than a given time. */

/** True if the promise settles in time; how it settles is for others to see. */
export async function settlesIn(timeoutMs: number, promise: Promise<unknown>): Promise<boolean> {
  const timeout = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => timeout.resolve(false), timeoutMs)
  const settled = promise.then(
    () => true,
    () => true,
  )
  const inTime = await Promise.race([settled, timeout.promise])
  clearTimeout(timer)
  return inTime
}
