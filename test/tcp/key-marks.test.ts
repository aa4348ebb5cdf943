/** Keys for cancelling tell whose they are, where several processes issue them. */
import { expect, test } from 'bun:test'
import { marked, markKeys, workerOfKey } from '../../src/tcp/key-marks.ts'
import { cancelRequest } from '../kit/frontend.ts'

test('a process that is alone marks none, a worker every one', () => {
  const key = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  expect(marked(key.slice())).toEqual(key)
  markKeys(200)
  expect(marked(key.slice())).toEqual(Uint8Array.of(0x40, 200, 3, 4, 5, 6, 7, 8))
})

test('a request tells the worker, but not one with a key of a database', () => {
  const secret = Uint8Array.of(1, 2, 3, 4)
  expect(workerOfKey(cancelRequest(0x40_07_00_01, secret))).toBe(7)
  expect(workerOfKey(cancelRequest(4_194_303, secret))).toBeNull()
  expect(workerOfKey(new Uint8Array(8))).toBeNull()
})
