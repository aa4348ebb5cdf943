import { expect, test } from 'bun:test'
import type { Piece, Wanted } from '../../src/protocols/protocol.ts'
import { RAW } from '../../src/protocols/raw.ts'

const ALL: Wanted = { cut: 'message', tags: new Uint8Array(256).fill(1) }
const NONE: Wanted = { cut: 'message', tags: null }
const bytes = new Uint8Array([1, 2, 3])

function converse(fromClient: Wanted, fromServer: Wanted) {
  const woken: string[] = []
  const conversation = RAW.converse({
    fromClient,
    fromServer,
    limits: { messageBytesMax: 10, budget: { held: 0, heldMax: 10, spent: 0 } },
    gate: null,
    waker: {
      wakeToServer: () => woken.push('server'),
      wakeToClient: () => woken.push('client'),
    },
  })
  return { conversation, woken }
}

test('a chunk passes as it came, or is one unit where a step wants it', () => {
  const { conversation } = converse(ALL, NONE)
  const flows = [conversation.fromClient, conversation.fromServer]
  const pieces = flows.map((flow): [Piece, Uint8Array, Piece] => {
    flow.push(bytes)
    return [flow.next(), flow.bytes, flow.next()]
  })
  expect(pieces).toEqual([
    ['unit', bytes, 'none'],
    ['pass', bytes, 'none'],
  ])
})

test('nothing is kept of a chunk that was worked off', () => {
  for (const wanted of [ALL, NONE]) {
    const { fromClient } = converse(wanted, wanted).conversation
    fromClient.push(bytes)
    fromClient.next()
    fromClient.next()
    expect(fromClient.bytes).toHaveLength(0)
  }
})

test('bytes are of no type: every unit is single and sound, and one part for every step', () => {
  const { fromClient } = converse(ALL, ALL).conversation
  expect(fromClient.flaw(bytes)).toBeNull()
  expect(fromClient.answerFlaw(bytes)).toBeNull()
  expect(fromClient.parts(bytes, 'message', null)).toEqual([{ bytes, wanted: true }])
  expect(fromClient.forward(bytes)).toBe(bytes)
})

test('there are no words for a refusal, and no last words', () => {
  const { conversation } = converse(ALL, ALL)
  const refused = { code: '42501', message: 'no' }
  expect(conversation.fromClient.deny(bytes, refused)).toBeNull()
  expect(conversation.farewell(refused)).toBeNull()
  conversation.refuse(refused)
  expect(conversation.refusalTold).toBe(true)
})

test('an answer goes to the client as a copy, before what the server says next', () => {
  const { conversation, woken } = converse(ALL, NONE)
  const { fromClient, fromServer } = conversation
  const answer = new Uint8Array([7])
  expect(fromClient.respond(bytes, answer)).toHaveLength(0)
  answer.fill(0)
  expect(woken).toEqual(['client'])
  fromServer.push(bytes)
  const pieces = [fromServer.next(), fromServer.bytes, fromServer.next(), fromServer.bytes]
  expect(pieces).toEqual(['inject', new Uint8Array([7]), 'pass', bytes])
})

test('what was pushed is dropped on release', () => {
  const { fromClient } = converse(ALL, NONE).conversation
  fromClient.push(bytes)
  fromClient.release()
  expect(fromClient.next()).toBe('none')
})

test('it has no messages by name and no cancel requests', () => {
  expect(RAW.tag('client', 'Query')).toBeUndefined()
  expect(RAW.cancelTarget(bytes)).toBe('')
})
