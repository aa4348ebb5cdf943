import { expect, test } from 'bun:test'
import { escapeControls, logText } from '../../src/base/log-text.ts'

const PLAIN = { colour: false, timeFormat: 'RFC3339' } as const
const moment = new Date(Date.UTC(2024, 2, 2, 15, 4, 5))

function written(record: unknown, options: Parameters<typeof logText>[2] = PLAIN): string {
  return logText(`${JSON.stringify(record)}\n`, moment, options)
}

test('a record becomes time, level, message and fields', () => {
  const record = { level: 'info', time: 1, group: 'default', a: 'x/y', n: 3, message: 'listening' }
  expect(written(record)).toBe('2024-03-02T15:04:05Z INF listening a=x/y n=3\n')
})

test('a value that is no plain word is quoted', () => {
  expect(written({ level: 'warn', message: 'm', q: 'two words', o: { k: 1 } })).toBe(
    '2024-03-02T15:04:05Z WRN m q="two words" o={"k":1}\n',
  )
})

test('what a client sent can neither forge a line nor command the terminal', () => {
  const text = written({
    level: 'error',
    message: 'bad\n2024 INF all is well\u001b[2J',
    user: 'a\u202eb\u0007\u009b',
    'k\ney': 1,
  })
  expect(text.split('\n')).toHaveLength(2)
  expect(text).toContain('bad\\n2024 INF all is well\\x1b[2J')
  expect(text).toContain('\\u202e')
  expect(text).toContain('\\x9b')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is the promise.
  expect(text.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
})

test('colours come only where they were asked for', () => {
  expect(written({ level: 'info', message: 'm' })).not.toContain('\u001b')
  const colourful = written({ level: 'info', message: 'm' }, { ...PLAIN, colour: true })
  expect(colourful).toContain('\u001b[32mINF\u001b[0m')
})

test('the stack of a surprise stands below its record, set in', () => {
  const err = { type: 'Error', message: 'x', stack: 'Error: x\n    at a.ts:1\n    at b.ts:2' }
  expect(written({ level: 'error', message: 'm', err })).toBe(
    '2024-03-02T15:04:05Z ERR m err="x"\n    at a.ts:1\n    at b.ts:2\n',
  )
})

test('what is no record is printed, escaped', () => {
  expect(logText('not\u0007json\n', moment, PLAIN)).toBe('not\\x07json\n')
})

test('letters of any language stay as they are', () => {
  expect(escapeControls('grüße 日本 👍')).toBe('grüße 日本 👍')
})
