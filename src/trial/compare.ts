/** Compares what was expected with what was found, and shows the difference line by line. */
import { isMap, type Readable } from './bytes.ts'

/** One thing that is not as expected. */
export interface Difference {
  readonly what: string
  readonly expected: Readable
  /** As much of it as was asked for. */
  readonly found: Readable
}

/** Which field a plain text stands for, where a file may write one for a map. */
const BRIEF = ['query', 'message', 'portal', 'name'] as const

function isFitting(pattern: string, found: Readable): boolean {
  return typeof found === 'string' && patternOf(pattern)?.test(found) === true
}

function patternOf(pattern: string): RegExp | null {
  try {
    return new RegExp(pattern, 'su')
  } catch {
    return null
  }
}

/** `{ matches: … }` stands for every text in which the pattern is found. */
function matcherOf(expected: Readable): string | null {
  if (!isMap(expected) || Object.keys(expected).length !== 1) return null
  const pattern = expected['matches']
  return typeof pattern === 'string' ? pattern : null
}

/**
 * What was found, in the words of what was expected: the same where it is that, and without what
 * was not asked for.
 */
export function projected(expected: Readable, found: Readable): Readable {
  const pattern = matcherOf(expected)
  if (pattern !== null) return isFitting(pattern, found) ? expected : found
  if (typeof expected === 'string' && isMap(found)) {
    const brief = BRIEF.find((key) => Object.hasOwn(found, key))
    return brief !== undefined && found[brief] === expected ? expected : found
  }
  if (Array.isArray(expected) && Array.isArray(found)) {
    const wanted: readonly Readable[] = expected
    return found.map((item: Readable, at) =>
      at < wanted.length ? projected(wanted[at] ?? null, item) : item,
    )
  }
  if (!isMap(expected) || !isMap(found)) return found
  const shown: Record<string, Readable> = {}
  const names = Object.keys(expected)
  // Another message, or another verdict, is shown whole.
  if (names.length === 1 && !Object.hasOwn(found, names[0] ?? '')) return found
  for (const key of names) {
    if (Object.hasOwn(found, key)) shown[key] = projected(expected[key] ?? null, found[key] ?? null)
  }
  return shown
}

/** The difference, or null where everything that was expected was found. */
export function differenceOf(what: string, expected: Readable, found: Readable): Difference | null {
  const shown = projected(expected, found)
  return flow(shown) === flow(expected) ? null : { what, expected, found: shown }
}

const PLAIN = /^[\p{L}\p{N}_$/(.][\p{L}\p{N}_ $/()*.=<>+-]*$/u

/** A value on one line, as YAML would have it. */
export function flow(value: Readable): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return PLAIN.test(value) ? value : JSON.stringify(value)
  if (!isMap(value)) return `[${value.map(flow).join(', ')}]`
  const pairs = Object.entries(value).map(([key, one]) => `${key}: ${flow(one)}`)
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`
}

/** An item of a list; one with a single key, which is what messages are, has no braces. */
function itemLine(item: Readable): string {
  const [entry, ...others] = isMap(item) ? Object.entries(item) : []
  return entry === undefined || others.length > 0 ? flow(item) : `${entry[0]}: ${flow(entry[1])}`
}

/** A value as lines: one for each item of a list, or key of a map. */
function linesOf(value: Readable): readonly string[] {
  if (Array.isArray(value))
    return value.length === 0 ? ['none'] : value.map((item: Readable) => itemLine(item))
  if (!isMap(value)) return [flow(value)]
  const entries = Object.entries(value)
  return entries.length === 0 ? ['none'] : entries.map(([key, one]) => `${key}: ${flow(one)}`)
}

/** Longer ones are shown one behind the other: comparing them costs their product. */
const LINES_MAX = 500

/** Expected lines with `-`, found ones with `+`, and those that are both with a blank. */
export function diffLines({ expected, found }: Difference): readonly string[] {
  const before = linesOf(expected)
  const after = linesOf(found)
  if (before.length > LINES_MAX || after.length > LINES_MAX) {
    return [...before.map((line) => `- ${line}`), ...after.map((line) => `+ ${line}`)]
  }
  const common = commonLengths(before, after)
  const lines: string[] = []
  let one = 0
  let two = 0
  while (one < before.length || two < after.length) {
    const [mine, other] = [before[one], after[two]]
    if (mine !== undefined && mine === other) {
      lines.push(`  ${mine}`)
      one += 1
      two += 1
    } else if (other === undefined || (mine !== undefined && isLonger(common, one, two))) {
      lines.push(`- ${mine}`)
      one += 1
    } else {
      lines.push(`+ ${other}`)
      two += 1
    }
  }
  return lines
}

/** True where leaving out the expected line leaves no less in common than the found one. */
function isLonger(common: readonly (readonly number[])[], one: number, two: number): boolean {
  return (common[one + 1]?.[two] ?? 0) >= (common[one]?.[two + 1] ?? 0)
}

/** How many lines are common to what follows each pair of places. */
function commonLengths(
  before: readonly string[],
  after: readonly string[],
): readonly (readonly number[])[] {
  const table = Array.from({ length: before.length + 1 }, () =>
    new Array<number>(after.length + 1).fill(0),
  )
  for (let one = before.length - 1; one >= 0; one--) {
    for (let two = after.length - 1; two >= 0; two--) {
      const same = before[one] === after[two]
      const next = table[one + 1]
      table[one]![two] = same
        ? (next?.[two + 1] ?? 0) + 1
        : Math.max(next?.[two] ?? 0, table[one]?.[two + 1] ?? 0)
    }
  }
  return table
}
