/** Which keys differ between two configurations, by name alone: a value may be a secret. */
import { isDeepStrictEqual } from 'node:util'
import type { Config } from './schema.ts'

/** Keys that are named; the rest are counted. */
const KEYS_MAX = 100

/** `servers.default.sessionsMax`, or a whole group or block where it came or went. */
export function changedKeys(before: Config, after: Config): readonly string[] {
  const found: string[] = []
  const visit = (one: unknown, other: unknown, path: string): void => {
    if (isDeepStrictEqual(one, other)) return
    if (!(isSection(one) && isSection(other))) {
      found.push(path + wordFor(one, other))
      return
    }
    for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
      visit(one[key], other[key], path === '' ? key : `${path}.${key}`)
    }
  }
  visit(before, after, '')
  if (found.length <= KEYS_MAX) return found
  return [...found.slice(0, KEYS_MAX), `and ${found.length - KEYS_MAX} other keys`]
}

function wordFor(one: unknown, other: unknown): string {
  if (isSection(other) && one === undefined) return ' is new'
  return isSection(one) && other === undefined ? ' is gone' : ''
}

function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
