import { describe, expect, test } from 'bun:test'
import { readyForQuery } from '../../../src/protocols/postgres/messages.ts'
import { BACKEND, FRONTEND } from '../../../src/protocols/postgres/tags.ts'
import { Talk } from '../../../src/protocols/postgres/talk.ts'

interface Bench {
  readonly talk: Talk
  readonly woken: string[]
}

function bench(): Bench {
  const woken: string[] = []
  const nothing = { cut: 'message', tags: null } as const
  const talk = new Talk({
    fromClient: nothing,
    fromServer: nothing,
    gate: null,
    waker: {
      wakeToServer: () => woken.push('server'),
      wakeToClient: () => woken.push('client'),
    },
  })
  talk.ledger.status = 0x49
  return { talk, woken }
}

const bytes = new Uint8Array([1, 2, 3])

describe('an answer of our own', () => {
  test('where nothing is owed is due at once, with the true status if asked for', () => {
    const { talk, woken } = bench()
    talk.answer(bytes, false)
    talk.ledger.status = 0x54
    talk.answer(bytes, true)
    expect(talk.toClientDue).toEqual([bytes, Buffer.concat([bytes, readyForQuery(0x54)])].map(copy))
    expect(woken).toEqual(['client', 'client'])
  })

  test('is a copy: the bytes may be reused by who gave them', () => {
    const { talk } = bench()
    const borrowed = copy(bytes)
    talk.answer(borrowed, false)
    borrowed.fill(0)
    expect(talk.toClientDue[0]).toEqual(bytes)
  })

  test('waits behind what is owed, and for the end of the message that pays it', () => {
    const { talk, woken } = bench()
    talk.ledger.note(FRONTEND.Query)
    talk.answer(bytes, true)
    talk.midReply = true
    talk.ledger.reply(BACKEND.ReadyForQuery)
    expect(talk.settle()).toBe(false)
    talk.ledger.status = 0x45
    talk.midReply = false
    expect(talk.settle()).toBe(true)
    expect(talk.toClientDue).toEqual([copy(Buffer.concat([bytes, readyForQuery(0x45)]))])
    expect(talk.settle()).toBe(false)
    expect(woken).toEqual([])
  })

  test('that came due within a dropped reply can be forgotten with it', () => {
    const { talk } = bench()
    talk.ledger.note(FRONTEND.Parse)
    talk.answer(bytes, false)
    talk.ledger.reply(BACKEND.ParseComplete)
    talk.forget()
    expect(talk.settle()).toBe(false)
    expect(talk.toClientDue).toEqual([])
  })
})

describe('a client is paused', () => {
  test('while 65,536 replies are owed', () => {
    const { talk } = bench()
    for (let count = 0; count < 65_535; count++) talk.ledger.note(FRONTEND.Query)
    expect(talk.full).toBe(false)
    talk.ledger.note(FRONTEND.Query)
    expect(talk.full).toBe(true)
    talk.ledger.reply(BACKEND.ReadyForQuery)
    expect(talk.full).toBe(false)
  })

  test('while 16 MiB of our own answers wait, and no longer once they were skipped', () => {
    const { talk } = bench()
    talk.ledger.note(FRONTEND.Parse)
    talk.answer(new Uint8Array(2 ** 24), false)
    expect(talk.full).toBe(true)
    talk.ledger.reply(BACKEND.ErrorResponse)
    expect(talk.full).toBe(false)
    talk.answer(new Uint8Array(2 ** 24), false)
    expect(talk.full).toBe(false)
  })
})

describe('refusals', () => {
  test('have markers that nobody can guess or mistake', () => {
    const { talk } = bench()
    const markers = Array.from({ length: 100 }, () => talk.marker(bytes))
    expect(new Set(markers).size).toBe(100)
    for (const marker of markers) expect(marker).toMatch(/^postern_denied_[0-9a-f]{16}$/)
  })

  test('whose message the server skipped are forgotten, those still owed are not', () => {
    const { talk } = bench()
    const { ledger } = talk
    ledger.note(FRONTEND.Parse)
    ledger.note(FRONTEND.Parse)
    const skipped = talk.marker(bytes)
    ledger.note(FRONTEND.Sync)
    ledger.note(FRONTEND.Parse)
    const owed = talk.marker(bytes)
    talk.forgetRefusals()
    expect([...talk.refusals.keys()]).toEqual([skipped, owed])
    ledger.reply(BACKEND.ErrorResponse)
    ledger.reply(BACKEND.ReadyForQuery)
    talk.forgetRefusals()
    expect([...talk.refusals.keys()]).toEqual([owed])
  })
})

describe('the Sync that ends swallowing', () => {
  test('is answered by the gateway where the server has nothing to synchronise', () => {
    const { talk } = bench()
    talk.swallowing = true
    expect(talk.endSwallowing()).toBe(false)
    expect(talk.swallowing).toBe(false)
    expect(talk.toClientDue).toEqual([readyForQuery(0x49)])
  })

  test('goes to the server where extended messages were forwarded or are skipped', () => {
    const unsynced = bench().talk
    unsynced.ledger.note(FRONTEND.Parse)
    expect(unsynced.endSwallowing()).toBe(true)
    const skipping = bench().talk
    skipping.ledger.skipping = true
    expect(skipping.endSwallowing()).toBe(true)
    expect(skipping.toClientDue).toEqual([])
  })
})

test('words to either side are due there, and that side is woken', () => {
  const { talk, woken } = bench()
  talk.tellClient(bytes)
  talk.tellServer(bytes)
  expect([talk.toClientDue, talk.toServerDue]).toEqual([[bytes], [bytes]])
  expect(woken).toEqual(['client', 'server'])
})

function copy(from: Uint8Array): Uint8Array {
  return new Uint8Array(from)
}
