import { expect, test } from 'bun:test'
import {
  cstrings,
  errorFields,
  parameterOf,
  startupPacket,
} from '../../../../src/protocols/postgres/login/server-words.ts'
import { errorResponse } from '../../../../src/protocols/postgres/messages.ts'
import { concat, cstring, PROTOCOL_3_0, startup } from '../../../kit/frontend.ts'

test('a startup packet is that of the documentation, and zero bytes end nothing early', () => {
  const params = { application_name: 'shöp' }
  const pairs = [
    ['user', 'ann'],
    ['database', 'db'],
    ['application_name', 'shöp'],
  ] as const
  const expected = startup({ user: 'ann', database: 'db', params })
  expect(startupPacket(PROTOCOL_3_0, pairs)).toEqual(expected)
  const sly = [
    ['us\0er', 'an\0n'],
    ['database', 'db\0'],
    ['application_name', 'shöp'],
  ] as const
  expect(startupPacket(PROTOCOL_3_0, sly)).toEqual(expected)
})

test('a list of texts is whole or none', () => {
  const zero = new Uint8Array(1)
  expect(cstrings(concat(cstring('a'), cstring('bc'), zero))).toEqual(['a', 'bc'])
  expect(cstrings(zero)).toEqual([])
  const flawed = [new Uint8Array(0), cstring('a'), concat(zero, zero), Uint8Array.of(97)]
  for (const bytes of flawed) expect(cstrings(bytes)).toBeNull()
})

test('a ParameterStatus is two texts and nothing else', () => {
  expect(parameterOf(concat(cstring('TimeZone'), cstring('UTC')))).toEqual(['TimeZone', 'UTC'])
  expect(parameterOf(concat(cstring('x'), cstring('')))).toEqual(['x', ''])
  const flawed = [
    new Uint8Array(0),
    cstring('a'),
    concat(cstring(''), cstring('b')),
    concat(cstring('a'), cstring('b'), cstring('c')),
    concat(cstring('a'), Uint8Array.of(98)),
  ]
  for (const bytes of flawed) expect(parameterOf(bytes)).toBeNull()
})

test('an error has a code and a message that fits a line of a log', () => {
  const body = (message: string, code = '28P01') =>
    errorResponse({ code, message, detail: 'Mind' }).subarray(5)
  expect(errorFields(body('no'))).toEqual({ code: '28P01', message: 'no' })
  expect(errorFields(body('a\nb\u001b[31mc'))?.message).toBe('a b [31mc')
  expect(errorFields(body('x'.repeat(1000)))?.message).toHaveLength(500)
  expect(errorFields(concat(cstring('Mwhy'), new Uint8Array(1)))).toEqual({
    code: 'XX000',
    message: 'why',
  })
  expect(errorFields(cstring('Mcut'))).toBeNull()
})
