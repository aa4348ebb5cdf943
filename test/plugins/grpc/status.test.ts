/** What stands for the end of a call: names, words, and what HTTP says where gRPC says nothing. */
import { expect, test } from 'bun:test'
import { status } from '@grpc/grpc-js'
import {
  messageText,
  refusalOfHttp,
  refusalOfReset,
  statusNamed,
} from '../../../src/plugins/grpc/status.ts'

test('the names are those of the library, number by number', () => {
  for (let code = 0; code <= 16; code++)
    expect<string | undefined>(statusNamed(String(code))).toBe(status[code])
})

test('what is no status is unknown', () => {
  for (const text of ['', '17', '-1', '1.5', '0x1', 'OK', '5, 5', '999']) {
    expect(statusNamed(text)).toBe('UNKNOWN')
  }
})

test('words are decoded, and what is wrongly encoded stays as it came', () => {
  expect(messageText('plain')).toBe('plain')
  expect(messageText('na%C3%AFve%20%25')).toBe('naïve %')
  expect(messageText('100% of %zz at %4')).toBe('100% of %zz at %4')
  expect(messageText('%ff')).toBe('\u{fffd}')
  expect(messageText('')).toBe('')
})

test('an HTTP status and a reset have a meaning, also unknown ones', () => {
  expect(refusalOfHttp(404).status).toBe('UNIMPLEMENTED')
  expect(refusalOfHttp(418)).toEqual({
    status: 'UNKNOWN',
    words: 'the answer has HTTP status 418',
  })
  expect(refusalOfReset(7).status).toBe('UNAVAILABLE')
  expect(refusalOfReset(4000).words).toBe('the plugin reset the call (HTTP/2 error 4000)')
})
