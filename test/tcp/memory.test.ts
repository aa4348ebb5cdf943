/** A side that does not read pauses the other side, and costs no more than about a chunk. */
import { describe, expect, test } from 'bun:test'
import type { TrafficVerdict } from '../../src/hooks/verdict.ts'
import { concat, copyData, query } from '../kit/frontend.ts'
import { passing } from '../kit/service.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { inTime } from './fake-server.ts'
import { setScene } from './scene.ts'

const MB = 2 ** 20
/** What kernels keep on the way, generously, and a chunk. */
const ON_THE_WAY_BYTES_MAX = 24 * MB
const ASK = query('select')
const ROW = copyData('x'.repeat(MB - 5))
const ROWS = 120

describe('a transfer', () => {
  const ways = {
    'without steps': {},
    'with a step that wants every row': { fromServer: [passing(false)] },
    'with a step that takes its time': { fromServer: [passing(true)] },
  }
  for (const [way, options] of Object.entries(ways)) {
    test(`to a slow reader is kept back ${way}`, async () => {
      await using scene = await setScene(options)
      const { wire, server } = await scene.logIn()
      const { account, budget } = scene.service
      wire.send(ASK)
      await server.read(ASK.length)
      const before = account.bytesFromServer
      for (let count = 0; count < ROWS; count++) server.socket.write(ROW)
      wire.socket.removeAllListeners('data')
      let read = 0
      let mostOnTheWay = 0
      const done = Promise.withResolvers<void>()
      wire.socket.on('data', (chunk: Buffer) => {
        read += chunk.length
        mostOnTheWay = Math.max(mostOnTheWay, account.bytesFromServer - before - read)
        if (read === ROWS * ROW.length) done.resolve()
        wire.socket.pause()
        setImmediate(() => setImmediate(() => wire.socket.resume()))
      })
      await inTime('the last row', done.promise)
      expect(mostOnTheWay).toBeLessThan(ON_THE_WAY_BYTES_MAX)
      expect(budget.held).toBe(0)
    }, 20_000)
  }

  test('to a slow server is kept back', async () => {
    await using scene = await setScene({ fromClient: [passing(true, 'batch')] })
    const { wire, server } = await scene.logIn()
    const { account } = scene.service
    const before = account.bytesFromClient
    for (let count = 0; count < ROWS; count++) wire.socket.write(ROW)
    server.socket.removeAllListeners('data')
    let read = 0
    let mostOnTheWay = 0
    const done = Promise.withResolvers<void>()
    server.socket.on('data', (chunk: Buffer) => {
      read += chunk.length
      mostOnTheWay = Math.max(mostOnTheWay, account.bytesFromClient - before - read)
      if (read === ROWS * ROW.length) done.resolve()
      server.socket.pause()
      setImmediate(() => setImmediate(() => server.socket.resume()))
    })
    await inTime('the last row', done.promise)
    expect(mostOnTheWay).toBeLessThan(ON_THE_WAY_BYTES_MAX)
  }, 20_000)
})

describe('answers that a step gives', () => {
  const QUESTIONS = 300
  const ANSWER = concat(says.columns(), says.row('x'.repeat(MB / 2)), says.complete('SELECT 1'))

  async function flood(first: Uint8Array, verdict: () => TrafficVerdict) {
    let asked = 0
    const scene = await setScene({
      fromClient: [
        {
          messages: ['Query'],
          decide: (bytes) => {
            if (!Buffer.from(bytes).includes('mine')) return { kind: 'continue' }
            asked += 1
            return verdict()
          },
        },
      ],
    })
    const ends = await scene.logIn()
    const other = await scene.logIn()
    ends.wire.socket.pause()
    ends.wire.send(first, ...Array.from({ length: QUESTIONS }, () => query('mine')))
    return { scene, ...ends, other, asked: () => asked }
  }

  test('to a client that never reads are not even asked for beyond some of them', async () => {
    const { scene, wire, other, asked } = await flood(new Uint8Array(0), () => ({
      kind: 'respond',
      bytes: ANSWER,
    }))
    await using _ = scene
    // When another session has been served, all of the flood has long been read.
    for (let round = 0; round < 20; round++) {
      other.wire.send(ASK)
      await other.server.read(ASK.length)
    }
    expect(asked()).toBeGreaterThan(0)
    expect(asked()).toBeLessThan(100)
    wire.socket.resume()
    for (let count = 0; count < QUESTIONS; count++) await wire.readUntil('ReadyForQuery')
    expect(asked()).toBe(QUESTIONS)
  }, 20_000)

  test('behind a reply owed wait in a bounded number, and come in the end', async () => {
    const { scene, wire, server, other, asked } = await flood(ASK, () => ({
      kind: 'respond',
      bytes: ANSWER,
    }))
    await using _ = scene
    await server.read(ASK.length)
    for (let round = 0; round < 20; round++) {
      other.wire.send(ASK)
      await other.server.read(ASK.length)
    }
    expect(asked()).toBeLessThan(100)
    server.send(says.complete('SELECT 0'), says.ready())
    wire.socket.resume()
    for (let count = 0; count <= QUESTIONS; count++) await wire.readUntil('ReadyForQuery')
    expect(asked()).toBe(QUESTIONS)
  }, 20_000)
})

describe('a declared length', () => {
  test('of 2 GB from many clients holds nothing, and nobody else suffers', async () => {
    await using scene = await setScene({ fromClient: [passing(false)], bufferedBytesMax: 1000 })
    const header = new Uint8Array([0x51, 0x7f, 0xff, 0xff, 0xff, 0x61, 0x62])
    const other = await scene.logIn()
    for (let count = 0; count < 50; count++) {
      const { wire, server } = await scene.logIn()
      wire.send(header)
      // It streams past, as no step can be given that much.
      await server.read(header.length)
    }
    expect(scene.service.budget).toMatchObject({ held: 0, spent: 0 })
    expect(scene.service.failures).toHaveLength(50)
    other.wire.send(ASK)
    await other.server.read(ASK.length)
  })

  test('just under the limit holds what came, which all sessions share and give back', async () => {
    await using scene = await setScene({ fromClient: [passing(false)], bufferedBytesMax: 1000 })
    const part = query('x'.repeat(5000)).slice(0, 400)
    const holding = [await scene.logIn(), await scene.logIn()]
    for (const { wire } of holding) wire.send(part)
    while (scene.service.budget.held < 800) await new Promise(setImmediate)
    const third = await scene.logIn()
    third.wire.send(part)
    await third.server.read(part.length)
    expect(scene.service.budget).toMatchObject({ held: 800, spent: 1 })
    for (const { wire } of holding) wire.socket.resetAndDestroy()
    while (scene.service.account.sessionsOpen > 1) await new Promise(setImmediate)
    expect(scene.service.budget.held).toBe(0)
  })
})
