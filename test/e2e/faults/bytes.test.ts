/**
 * Not one byte different: sessions through the gateway, cut anywhere on both sides of it, and the
 * same ones directly with the server. `POSTERN_SEED` repeats one run.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import type { RunningGateway } from '../../kit/gateway.ts'
import { type Random, seeded } from '../../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'
import { auditPlugins, mustBeSound, type Settings, startBefore } from '../../kit/traffic.ts'
import type { WireAddress } from '../../kit/wire.ts'
import { makeUp, type Recording, recordDrivers } from './recordings.ts'
import { inPieces, type Relay, startRelay } from './relay.ts'
import { mustBeUnharmed, type Weight, weigh } from './scene.ts'

const SESSIONS = process.env['POSTERN_LONG'] === '1' ? 10_000 : 150
const FIRST_SEED = Number(process.env['POSTERN_SEED'] ?? 1)
const AT_ONCE = 6
const SESSION_TIMEOUT_MS = 20_000
setDefaultTimeout(60_000 + SESSIONS * 200)

const KEY_DATA = 0x4b
const HEADER_LENGTH = 5

const WAYS: Readonly<Record<string, Settings>> = {
  'without plugins': {},
  'with the audit plugin': { plugins: auditPlugins() },
  'as raw bytes': { server: { protocol: 'raw' } },
}

let server: PostgresServer
let relay: Relay
let recorded: Recording[]
const gateways: { readonly way: string; readonly gateway: RunningGateway }[] = []
const before: Weight[] = []
beforeAll(async () => {
  server = await startPostgres()
  recorded = await recordDrivers(server)
  relay = await startRelay(server, seeded(FIRST_SEED))
  for (const [way, settings] of Object.entries(WAYS)) {
    gateways.push({ way, gateway: await startBefore(relay, settings) })
  }
  for (const { gateway } of gateways) before.push(await weigh(gateway))
})
afterAll(async () => {
  for (const { gateway } of gateways) await gateway.stop()
  await relay[Symbol.asyncDispose]()
  await server.stop()
})

/** All that comes back in one session, up to the end of the connection. */
async function transcript(at: WireAddress, { asks, said }: Recording, random: Random) {
  const all: Uint8Array[] = []
  const { promise: ended, resolve: end, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(reject, SESSION_TIMEOUT_MS, new Error('a session did not end in time'))
  let answered = (): void => {}
  let kept: Uint8Array[] = []
  const flushKept = (socket: Bun.Socket): void => {
    while (kept.length > 0) {
      const [first] = kept
      const written = Math.max(0, socket.write(first!))
      if (written < first!.length) {
        kept[0] = first!.subarray(written)
        return
      }
      kept = kept.slice(1)
    }
  }
  const socket = await Bun.connect({
    hostname: at.host,
    port: at.port,
    socket: {
      data(_, chunk) {
        all.push(new Uint8Array(chunk))
        answered()
      },
      drain: flushKept,
      close: () => end(),
      error: (_, error) => reject(error),
    },
  })
  const send = (piece: Uint8Array): void => {
    kept.push(piece.slice())
    flushKept(socket)
  }
  try {
    if (asks !== null) {
      const answer = new Promise<void>((resolve) => {
        answered = resolve
      })
      send(asks)
      await Promise.race([answer, ended])
    }
    await inPieces(said, random, send)
    await ended
  } finally {
    clearTimeout(timer)
    socket.terminate()
  }
  return withoutKeys(Buffer.concat(all), asks === null ? 0 : 1)
}

/** The key for cancelling is the one thing that two sessions never share: it becomes zeros. */
function withoutKeys(bytes: Buffer, from: number): Buffer {
  for (let at = from; at + HEADER_LENGTH <= bytes.length; ) {
    const length = 1 + bytes.readUInt32BE(at + 1)
    if (bytes[at] === KEY_DATA) bytes.fill(0, at + HEADER_LENGTH, at + length)
    at += length
  }
  return bytes
}

/** Where two transcripts part, with what is around it. */
function difference(direct: Buffer, through: Buffer): string {
  let at = 0
  while (at < direct.length && direct[at] === through[at]) at += 1
  const around = (bytes: Buffer): string =>
    JSON.stringify(bytes.subarray(Math.max(0, at - 60), at + 60).toString('latin1'))
  const where = `at byte ${at} of ${direct.length} and ${through.length}`
  return `${where}:\n${around(direct)}\n${around(through)}`
}

async function compare(recording: Recording, seed: number): Promise<void> {
  const random = seeded(seed)
  const direct = await transcript(server, recording, random)
  expect(direct.length).toBeGreaterThan(100)
  for (const { way, gateway } of gateways) {
    const through = await transcript(gateway, recording, random)
    if (!direct.equals(through)) {
      throw new Error(`seed ${seed}, ${way}: the bytes differ ${difference(direct, through)}`)
    }
  }
}

async function compareAll(recordings: Iterable<readonly [Recording, number]>): Promise<void> {
  const rest = recordings[Symbol.iterator]()
  const work = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      await compare(...next.value)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  for (const [index, { gateway }] of gateways.entries()) {
    await mustBeUnharmed(gateway, before[index]!)
    await mustBeSound(gateway)
  }
}

test('recorded sessions of two drivers get the same bytes, however they are cut', async () => {
  expect(recorded.map(({ said }) => said.length > 500)).toEqual([true, true])
  function* again(): Generator<readonly [Recording, number]> {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + 5; seed++) {
      for (const recording of recorded) yield [recording, seed]
    }
  }
  await compareAll(again())
})

test(`${SESSIONS} random sessions get the same bytes, however they are cut`, async () => {
  function* all(): Generator<readonly [Recording, number]> {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SESSIONS; seed++) {
      yield [makeUp(seeded(seed), server), seed]
    }
  }
  await compareAll(all())
})
