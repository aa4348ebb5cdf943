import { expect, test } from 'bun:test'
import { tokensOf } from '../../../../src/protocols/postgres/sharing/tokens.ts'

const shown = (sql: string, escapes = false): string[] =>
  tokensOf(sql, escapes).map(({ kind, value }) => `${kind} ${value}`)

test('words are folded, names are not, and signs stand alone', () => {
  expect(shown('SELECT a.B, "C""d" FROM t$1;')).toEqual([
    'word select',
    'word a',
    'sign .',
    'word b',
    'sign ,',
    'name C"d',
    'word from',
    'word t$1',
    'sign ;',
  ])
})

test.each([
  ["'it''s'", "it's"],
  ["E'it\\'s'", "it's"],
  ["e'a\\\\'", 'a\\'],
  ["n'x' ", 'x'],
  ["U&'x'", 'x'],
  ['$$a;b$$', 'a;b'],
  ["$q$a $$ ' $q$", "a $$ ' "],
  ["'never closed", 'never closed'],
  ['$q$never closed $$', 'never closed $$'],
])('%s is one text', (sql, text) => {
  expect(shown(sql)).toEqual([`text ${text}`])
})

test('a backslash ends no text only where it is an escape', () => {
  expect(shown("'a\\' b")).toEqual(['text a\\', 'word b'])
  expect(shown("'a\\' b'", true)).toEqual(["text a' b"])
})

test('comments are nothing, also within each other', () => {
  expect(shown('a -- b\nc /* d /* e */ f */ g')).toEqual(['word a', 'word c', 'word g'])
  expect(shown('a /* never closed')).toEqual(['word a'])
  expect(shown('a -- b')).toEqual(['word a'])
})

test('parameters, numbers and letters beyond ASCII hold nothing up', () => {
  expect(shown('$1 12 é\u0000')).toEqual(['sign $', 'sign 1', 'sign 1', 'sign 2', 'word é'])
})
