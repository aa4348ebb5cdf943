/** The short cut past the reader must leave a conversation exactly where the reader would. */
import { expect, test } from 'bun:test'
import { message } from '../../../src/protocols/postgres/messages.ts'
import { POSTGRES } from '../../../src/protocols/postgres/postgres.ts'
import type { Conversation, Flow } from '../../../src/protocols/protocol.ts'
import { startup } from '../../kit/frontend.ts'
import { type Random, seeded } from '../../kit/pipelines.ts'

const FROM_CLIENT = 'QPBDECSHFdcfX'
const FROM_SERVER = '123CDEGHINSTVZAdcnst'

function converse(wanted: Uint8Array | null): Conversation {
  return POSTGRES.converse({
    fromClient: { cut: 'message', tags: wanted },
    fromServer: { cut: 'message', tags: null },
    limits: { messageBytesMax: 2 ** 20, budget: { held: 0, heldMax: 2 ** 24, spent: 0 } },
    waker: { wakeToServer: () => {}, wakeToClient: () => {} },
    gate: null,
  })
}

function read(flow: Flow, chunk: Uint8Array): Buffer {
  const out: Uint8Array[] = []
  flow.push(chunk)
  while (flow.next() !== 'none') out.push(flow.bytes.slice())
  return Buffer.concat(out)
}

function login(conversation: Conversation): Conversation {
  read(conversation.fromClient, startup({ user: 'u', database: 'd' }))
  read(conversation.fromServer, message(0x5a, Uint8Array.of(0x49)))
  return conversation
}

/** Some messages; now and then the chunk ends within one. */
function chunkOf(random: Random, types: string): Uint8Array {
  const parts: Uint8Array[] = []
  for (let count = 1 + random.below(5); count > 0; count--) {
    const type = random.pick([...types]).charCodeAt(0)
    const body = new Uint8Array(type === 0x5a ? 1 : random.below(30))
    if (type === 0x5a) body[0] = random.pick([0x49, 0x54, 0x45])
    parts.push(message(type, body))
  }
  return Buffer.concat(parts)
}

test('whole messages that nobody wants leave the same ledger by the short cut', () => {
  let taken = 0
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed)
    const slow = login(converse(null))
    const fast = login(converse(null))
    for (let step = 0; step < 30; step++) {
      const side = random.chance(0.5) ? 'fromClient' : 'fromServer'
      const whole = chunkOf(random, side === 'fromClient' ? FROM_CLIENT : FROM_SERVER)
      const cut = random.chance(0.2) ? 1 + random.below(whole.length - 1) : whole.length
      for (const chunk of [whole.subarray(0, cut), whole.subarray(cut)]) {
        const expected = read(slow[side], chunk)
        const passed = fast[side].pass(chunk)
        taken += passed ? 1 : 0
        const out = passed ? Buffer.from(chunk) : read(fast[side], chunk)
        expect({ seed, step, out }).toEqual({ seed, step, out: expected })
        const { idle, owes, midMessage } = slow
        expect({ seed, step, ...facts(fast) }).toEqual({ seed, step, ...facts(slow) })
        expect([fast.idle, fast.owes, fast.midMessage]).toEqual([idle, owes, midMessage])
      }
    }
  }
  expect(taken).toBeGreaterThan(1000)
})

/** Whether last words would be said, which tells of the end of what was read. */
function facts(conversation: Conversation) {
  const words = conversation.farewell({ code: '57P01', message: 'bye' })
  return { words: words === null }
}

test('the short cut is not taken before the login, in a message, or where a step looks', () => {
  const query = message(0x51, Buffer.from('select 1\0'))
  expect(converse(null).fromClient.pass(query)).toBeNull()
  const watched = login(converse(new Uint8Array(256).fill(1)))
  expect(watched.fromClient.pass(query)).toBeNull()
  expect(watched.fromServer.pass(message(0x5a, Uint8Array.of(0x49)))).toBeNull()
  const cut = login(converse(null))
  read(cut.fromClient, query.subarray(0, 7))
  expect(cut.fromClient.pass(query)).toBeNull()
})

test('the short cut refuses what is no message: the reader then tells why', () => {
  const { fromClient } = login(converse(null))
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n'), Uint8Array.of(0x51, 0, 0, 0, 3, 0)]) {
    expect(fromClient.pass(bytes)).toBeNull()
  }
  fromClient.push(Buffer.from('GET / HTTP/1.1\r\n'))
  expect(fromClient.next()).toBe('violation')
})
