import { expect, test } from 'bun:test'
import {
  LAST_LINES_CHARACTERS_MAX,
  LAST_LINES_MAX,
  LastLines,
} from '../../../src/plugins/grpc/last-lines.ts'

test('the last lines are kept, in order, and empty ones are not', () => {
  const lines = new LastLines()
  for (let number = 1; number <= LAST_LINES_MAX + 5; number++) {
    lines.add(`line ${number}`)
    lines.add('  ')
  }
  expect(lines.all).toHaveLength(LAST_LINES_MAX)
  expect(lines.all[0]).toBe('"line 6"')
  expect(lines.all.at(-1)).toBe('"line 25"')
})

test('long lines are cut, and no more characters are kept than there may be', () => {
  const lines = new LastLines()
  for (let number = 0; number < 1000; number++) lines.add('\u001b'.repeat(10_000))
  const characters = lines.all.reduce((total, line) => total + line.length, 0)
  expect(characters).toBeLessThanOrEqual(LAST_LINES_CHARACTERS_MAX)
  expect(lines.all.length).toBeGreaterThan(0)
  expect(lines.all.join('')).not.toContain('\u001b')
})
