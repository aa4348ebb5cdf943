import { expect, test } from 'bun:test'
import {
  hasNames,
  nameIn,
  statementAt,
  textEnd,
} from '../../../../src/protocols/postgres/sharing/heads.ts'
import { FRONTEND } from '../../../../src/protocols/postgres/tags.ts'
import { describe as ask, bind, close, concat, parse } from '../../../kit/frontend.ts'

function nameOf(tag: number, message: Uint8Array): string | null {
  const bytes = concat(new Uint8Array(3), message)
  const from = statementAt(tag, bytes, 3, bytes.length)
  return from < 0 ? null : nameIn(bytes, from, textEnd(bytes, from, bytes.length))
}

test('the name of the statement is found where each message has it', () => {
  expect(nameOf(FRONTEND.Parse, parse({ name: 's', sql: 'select 1' }))).toBe('s')
  expect(nameOf(FRONTEND.Bind, bind({ portal: 'p', statement: 's' }))).toBe('s')
  expect(nameOf(FRONTEND.Bind, bind())).toBe('')
  expect(nameOf(FRONTEND.Describe, ask('statement', 's'))).toBe('s')
  expect(nameOf(FRONTEND.Describe, ask('portal', 's'))).toBeNull()
  expect(nameOf(FRONTEND.Close, close('statement', 's'))).toBe('s')
  expect(nameOf(FRONTEND.Close, close('portal', 's'))).toBeNull()
})

test('what is malformed has none', () => {
  const cut = new TextEncoder().encode('B....portal without an end')
  expect(statementAt(FRONTEND.Bind, cut, 0, cut.length)).toBe(-1)
  expect(textEnd(cut, 0, cut.length)).toBe(-1)
})

test('names are there when both of them have ended', () => {
  const bytes = bind({ portal: 'p', statement: 'name' })
  const there = Array.from({ length: 14 }, (_, to) => hasNames(FRONTEND.Bind, bytes, 0, to))
  expect(there.indexOf(true)).toBe('B....p.name.'.length)
  expect(hasNames(FRONTEND.Query, bytes, 0, 5)).toBeTrue()
})
