/** Finds the known name that a mistyped one was meant to be. */

/** Longer names are no slips of a known key, and comparing them costs their product. */
const NAME_LENGTH_MAX = 64

/** The closest of the known names, if it is close enough to be what was meant. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  if (name.length > NAME_LENGTH_MAX) return undefined
  const written = name.toLowerCase()
  let best: string | undefined
  // A third of the letters may be wrong, and always one.
  let bestDistance = Math.max(1, Math.floor(written.length / 3)) + 1
  for (const candidate of known) {
    const distance = distanceOf(written, candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Letters to insert, delete, replace or swap with their neighbour; at most `most`. */
function distanceOf(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) >= most) return most
  let beforeLast: readonly number[] = []
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const row: number[] = [i]
    for (let j = 1; j <= b.length; j++) row.push(cell(a, b, i, j, row, last, beforeLast))
    beforeLast = last
    last = row
  }
  return Math.min(last[b.length] ?? most, most)
}

function cell(
  a: string,
  b: string,
  i: number,
  j: number,
  row: readonly number[],
  last: readonly number[],
  beforeLast: readonly number[],
): number {
  const cost = a[i - 1] === b[j - 1] ? 0 : 1
  const deleted = (last[j] ?? 0) + 1
  const inserted = (row[j - 1] ?? 0) + 1
  const replaced = (last[j - 1] ?? 0) + cost
  const least = Math.min(deleted, inserted, replaced)
  const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
  return swapped ? Math.min(least, (beforeLast[j - 2] ?? 0) + 1) : least
}
