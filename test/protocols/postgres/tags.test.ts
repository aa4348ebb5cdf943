import { expect, test } from 'bun:test'
import {
  BACKEND,
  BACKEND_PLAIN,
  BACKEND_TAGS,
  backendTag,
  FRONTEND,
  FRONTEND_TAGS,
  frontendTag,
  unwanted,
} from '../../../src/protocols/postgres/tags.ts'

function letters(table: Uint8Array): string {
  return [...table].flatMap((one, tag) => (one === 1 ? [String.fromCharCode(tag)] : [])).join('')
}

test('the first bytes are those of the documentation, no more and no less', () => {
  expect(letters(FRONTEND_TAGS)).toBe('BCDEFHPQSXcdfp')
  expect(letters(BACKEND_TAGS)).toBe('123ACDEGHIKNRSTVWZcdnstv')
})

test('no two messages of one direction share a first byte', () => {
  for (const tags of [FRONTEND, BACKEND]) {
    const values = Object.values(tags)
    expect(new Set(values).size).toBe(values.length)
  }
})

test('messages are found by name, also by the names that drivers use', () => {
  expect(frontendTag('Query')).toBe(0x51)
  expect(frontendTag('StartupMessage')).toBe(0)
  expect(frontendTag('SASLResponse')).toBe(frontendTag('PasswordMessage'))
  expect(backendTag('DataRow')).toBe(0x44)
  expect(backendTag('AuthenticationOk')).toBe(backendTag('Authentication'))
})

test('a name of the other direction, of nobody, or of every object is not found', () => {
  for (const name of ['DataRow', 'query', '', 'toString', 'constructor']) {
    expect(frontendTag(name)).toBeUndefined()
  }
  for (const name of ['Query', 'toString', 'constructor']) expect(backendTag(name)).toBeUndefined()
})

test('plain messages that a step wants are plain no longer, for that session alone', () => {
  const wanted = new Uint8Array(256)
  wanted[BACKEND.DataRow] = 1
  expect(letters(unwanted(BACKEND_PLAIN, wanted))).toBe('d')
  expect(letters(unwanted(BACKEND_PLAIN, null))).toBe('Dd')
})
