/** What gateways write into a shared store, and what of foreign writing is refused. */
import { describe, expect, test } from 'bun:test'
import {
  commandOf,
  DELETE_SCRIPT,
  parseKept,
  parseTold,
  parseVersion,
  patternOf,
  placesOf,
  writtenLength,
} from '../../../src/plugins/shared/scripts.ts'

const AT = { prefix: 'p', plugin: 'audit', origin: 'me' }
const value = Uint8Array.from([0, 255, 10, 13])

test('what is sent of a value is read again as it was', () => {
  const args = commandOf({ key: 'ä\n"key"', kept: { value, ttlMs: 500, version: 0 } }, AT)
  expect(args.slice(2, 5)).toEqual(['p:{audit}:v', 'p:{audit}:e', 'p:{audit}:k:ä\n"key"'])
  const told = parseTold(`77 ${args.at(-1)}`)
  const change = { version: 77, key: 'ä\n"key"', ttlMs: 500, value }
  expect(told).toEqual({ origin: 'me', plugin: 'audit', change })
  expect(parseKept('k', `78 ${args[6]}`, 400)).toEqual({ version: 78, key: 'k', ttlMs: 400, value })
  expect(parseKept('k', '79 ', -1)).toMatchObject({ ttlMs: 0, value: new Uint8Array(0) })
})

test('what is sent of a deletion is read again as one', () => {
  const args = commandOf({ key: 'k', kept: null }, AT)
  expect(args[0]).toBe(DELETE_SCRIPT)
  expect(parseTold(`5 ${args.at(-1)}`)?.change).toEqual({
    version: 5,
    key: 'k',
    ttlMs: 0,
    value: null,
  })
})

describe('refused are', () => {
  for (const message of [
    '',
    'text',
    '0 ["o","p","k",0,"Mg=="]',
    '-1 ["o","p","k",0,"Mg=="]',
    '99999999999999999999 ["o","p","k",0,"Mg=="]',
    '9999999999999999 ["o","p","k",0,"Mg=="]',
    '1 {"o":1}',
    '1 ["o","p","k",0]',
    '1 [1,"p","k",0,"Mg=="]',
    '1 ["o",null,"k",0,"Mg=="]',
    '1 ["o","p",["k"],0,"Mg=="]',
    '1 ["o","p","k",-1,"Mg=="]',
    '1 ["o","p","k",0.5,"Mg=="]',
    '1 ["o","p","k",1e12,"Mg=="]',
    '1 ["o","p","k",0,"M"]',
    '1 ["o","p","k",0,"Mg==Mg=="]',
    '1 ["o","p","k",0,7]',
    `1 ["o","p","${'k'.repeat(70_000)}",0,"Mg=="]`,
  ]) {
    test(`the message ${message.slice(0, 40)}`, () => expect(parseTold(message)).toBeNull())
  }

  for (const written of ['', 'Mg==', ' Mg==', 'x Mg==', '1 M', '1 Mg=', '1 M g=', 7, null]) {
    test(`the value ${written}`, () => expect(parseKept('k', written, -1)).toBeNull())
  }
  test('a version that is a number', () => expect(parseVersion(7)).toBeNull())
  test('a time that is none', () => expect(parseKept('k', '1 Mg==', 'soon')).toBeNull())
})

test('a pattern finds what begins so, whatever is in it', () => {
  expect(patternOf(placesOf('a*b?', 'c[1]').keys)).toBe('a\\*b\\?:{c\\[1\\]}:k:*')
})

test('a value of the largest size is not longer there than is foreseen', () => {
  const most = `9007199254740991 ${Buffer.alloc(1000).toString('base64')}`
  expect(most.length).toBeLessThanOrEqual(writtenLength(1000))
})
