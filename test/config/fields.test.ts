/** How each kind of value is read, from a file's text, a variable's or a plugin's own types. */
import { describe, expect, test } from 'bun:test'
import type * as z from 'zod'
import {
  address,
  choices,
  count,
  decimal,
  duration,
  flag,
  limit,
  namesOrAll,
  parseFlag,
  texts,
} from '../../src/config/fields.ts'

const HELP = 'For a test.'

/** The value that is read, or why there is none. */
function read(schema: z.ZodType, raw: unknown): unknown {
  const parsed = schema.safeParse(raw)
  return parsed.success ? parsed.data : parsed.error.issues.map(({ message }) => message).join()
}

test('booleans are those of YAML 1.1, in any case, and no other words', () => {
  for (const word of ['true', 'True', 'TRUE', 't', 'yes', 'Y', 'on', 'ON', '1']) {
    expect(parseFlag(word)).toBe(true)
  }
  for (const word of ['false', 'False', 'f', 'no', 'N', 'off', '0']) {
    expect(parseFlag(word)).toBe(false)
  }
  for (const word of ['', 'enabled', '2', 'truely', ' true']) {
    expect(parseFlag(word)).toBeUndefined()
  }
  expect(read(flag(false, HELP), true)).toBe(true)
  expect(read(flag(true, HELP), undefined)).toBe(true)
  expect(read(flag(true, HELP), [])).toBe('must be true or false')
})

describe('numbers', () => {
  const ten = count(10, 1, 20, HELP)

  test('are read from text or number, in any of the ways that YAML writes them', () => {
    expect(read(ten, '5')).toBe(5)
    expect(read(ten, 5)).toBe(5)
    expect(read(ten, '0x10')).toBe(16)
    expect(read(decimal(2, 10, HELP), '1.5')).toBe(1.5)
  })

  test('outside their limits, or no numbers, are refused with the limits', () => {
    for (const raw of ['0', '21', '1.5', '', ' ', 'ten', 'NaN', 'Infinity', '1e99', true, [], {}]) {
      expect(read(ten, raw)).toBe('must be a whole number from 1 to 20')
    }
    expect(read(decimal(2, 10, HELP), '-1')).toBe('must be a number from 0 to 10')
    expect(read(decimal(2, 10, HELP), 'NaN')).toBe('must be a number from 0 to 10')
  })
})

describe('durations', () => {
  test('become milliseconds; a whole number is nanoseconds', () => {
    expect(read(duration('1s', HELP), '1m0s')).toBe(60_000)
    expect(read(duration('1s', HELP), 5_000_000_000)).toBe(5000)
    expect(read(duration('1s', HELP), undefined)).toBe(1000)
    expect(read(duration('1s', HELP), '0')).toBe(0)
    expect(read(limit('1s', HELP), '1\u00b5s')).toBe(0.001)
  })

  test('that nobody can mean are refused: 30 nanoseconds, before now, beyond a timer', () => {
    for (const raw of ['30', '-1s', '597h', '5 s', '', true]) {
      expect(read(duration('1s', HELP), raw)).toContain('must be a duration with a unit')
    }
    for (const raw of ['0', '0s', '999ns']) {
      expect(read(limit('1s', HELP), raw)).toContain('must be a duration above zero')
    }
  })
})

test('addresses need a port', () => {
  for (const raw of [':1', 'localhost:1', '[::1]:65535']) {
    expect(read(address(':1', HELP), raw)).toBe(raw)
  }
  for (const raw of ['', 'localhost', '::1:1', 'a:65536', 'http://a:1', 5432]) {
    expect(read(address(':1', HELP), raw)).toContain('must be an address')
  }
})

describe('lists', () => {
  test('of words may be text with commas, as variables have it', () => {
    const outputs = choices(['stdout', 'file'], ['stdout'], HELP)
    expect(read(outputs, 'stdout, FILE')).toEqual(['stdout', 'file'])
    expect(read(outputs, ['File'])).toEqual(['file'])
    expect(read(outputs, '')).toEqual([])
    expect(read(outputs, undefined)).toEqual(['stdout'])
    expect(read(outputs, ['nope'])).toBe('must be one of stdout, file')
    expect(read(outputs, 'nope')).toBe('must be one of stdout, file in each place')
  })

  test('of texts are lists, for a comma may be part of an argument', () => {
    expect(read(texts(HELP), ['a,b', 5, true])).toEqual(['a,b', '5', 'true'])
    expect(read(texts(HELP), 'a,b')).toBe('must be a list')
    expect(read(texts(HELP), [['a']])).toBe('must be text')
  })

  test('of names may be all of them or none', () => {
    const inherited = namesOrAll(['PATH'], HELP)
    expect(read(inherited, undefined)).toEqual(['PATH'])
    expect(read(inherited, 'yes')).toBe(true)
    expect(read(inherited, false)).toEqual([])
    expect(read(inherited, ['A'])).toEqual(['A'])
    for (const raw of ['PATH', [''], {}]) {
      expect(read(inherited, raw)).toBe('must be a list of names, or true for all')
    }
  })
})
