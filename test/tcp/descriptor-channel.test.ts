/** Descriptors that are handed from one process to another, here from one end to the other. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  closePair,
  type DescriptorPair,
  descriptorPair,
  receiveDescriptor,
  sendDescriptor,
} from '../../src/tcp/descriptor-channel.ts'

let pair: DescriptorPair
let folder: string
beforeEach(() => {
  pair = descriptorPair()
  folder = mkdtempSync(join(tmpdir(), 'postern-descriptors-'))
})
afterEach(() => {
  closePair(pair)
  rmSync(folder, { recursive: true })
})

function fileWith(text: string): number {
  const path = join(folder, text)
  writeFileSync(path, text)
  return openSync(path, 'r')
}

test('they come in order, also when the sender has closed its own', () => {
  for (const text of ['one', 'two', 'three']) {
    const descriptor = fileWith(text)
    sendDescriptor(pair.near, descriptor)
    closeSync(descriptor)
  }
  const read = [1, 2, 3].map(() => {
    const descriptor = receiveDescriptor(pair.far)
    const text = readFileSync(descriptor, 'utf8')
    closeSync(descriptor)
    return text
  })
  expect(read).toEqual(['one', 'two', 'three'])
})

test('one that was announced and does not come is an error', () => {
  expect(() => receiveDescriptor(pair.far)).toThrow('a listening socket that was announced did not')
})

test('one that cannot be sent is an error', () => {
  expect(() => sendDescriptor(pair.near, 999_999)).toThrow('cannot be handed to a process')
})
