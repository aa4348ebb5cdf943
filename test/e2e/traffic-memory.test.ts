import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { MessageWalker } from '../bench/copy.ts'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  memoryOf,
  metric,
  mustBeSound,
  startBefore,
  startWay,
  until,
  WAYS,
} from '../kit/traffic.ts'
import { openSession, type WireAddress } from '../kit/wire.ts'

const MEGABYTES = process.env['POSTERN_LONG'] === '1' ? 1_024 : 160
setDefaultTimeout(MEGABYTES * 500)
/** What the gateway may grow by; the kernel's own buffers are not the gateway's. */
const GROWTH_BYTES_MAX = 100e6
/** Looks in a row that must find the same number of bytes. */
const STILL_LOOKS = 50
const READY_FOR_QUERY = 0x5a
/** How much is read before the reader rests. */
const GULP_BYTES = 1024 * 1024

const COPY = `copy (select lpad(n::text, 1015, 'x') from generate_series(1, ${MEGABYTES * 1024}) n)
  to stdout`

interface Read {
  readonly bytes: number
  readonly sha256: string
}

/** Resolves when the gateway moves no byte any more, through many turns of its event loop. */
async function stalled(gateway: RunningGateway, direction: string): Promise<number> {
  let moved = -1
  let looks = 0
  await until('no byte moves any more', async () => {
    const now = await metric(gateway, 'postern_bytes_total', { direction })
    looks = now === moved && now > 0 ? looks + 1 : 0
    moved = now
    return looks === STILL_LOOKS
  })
  return moved
}

/** Reads the whole reply to the copy; `rest` is awaited before the first and after every gulp. */
async function readCopy(address: WireAddress, rest: () => Promise<void>): Promise<Read> {
  const { socket } = await openSession({ ...address, user: 'postgres', database: 'postgres' })
  const sum = createHash('sha256')
  let bytes = 0
  let restedAt = 0
  const { promise, resolve, reject } = Promise.withResolvers<Read>()
  const walker = new MessageWalker((type) => {
    if (type === READY_FOR_QUERY) resolve({ bytes, sha256: sum.digest('hex') })
  })
  const takeRest = (): void => {
    socket.pause()
    rest().then(() => socket.resume(), reject)
  }
  socket.removeAllListeners('data')
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    sum.update(chunk)
    walker.walk(chunk)
    if (bytes - restedAt < GULP_BYTES) return
    restedAt = bytes
    takeRest()
  })
  takeRest()
  socket.write(query(COPY))
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

describe.each(WAYS)('$way', (way) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.stop())

  test(`a client that reads ${MEGABYTES} MB slowly gets all of it, in little memory`, async () => {
    const expected = await readCopy(server, async () => {})
    await using gateway = await startWay(server, way)
    await openSession({ ...server, port: gateway.port }).then((wire) => wire.terminate())
    const { now: before } = memoryOf(gateway.pid)
    let rests = 0
    const read = await readCopy(gateway, async () => {
      rests += 1
      if (rests === 1) {
        const moved = await stalled(gateway, 'from_server')
        expect(moved).toBeLessThan(expected.bytes / 2)
      } else await metric(gateway, 'postern_sessions_open')
    })
    expect(read).toEqual(expected)
    expect(rests).toBeGreaterThan(MEGABYTES / 2)
    expect(memoryOf(gateway.pid).peak - before).toBeLessThan(GROWTH_BYTES_MAX)
    await mustBeSound(gateway)
  })
})

test(`a server that reads ${MEGABYTES} MB slowly gets all of it, in little memory`, async () => {
  const slow = createServer()
  slow.listen(0, '127.0.0.1')
  await once(slow, 'listening')
  const address = slow.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  const accepted = once(slow, 'connection')
  const behind = { host: '127.0.0.1', port: address.port }
  await using gateway = await startBefore(behind, { server: { protocol: 'raw' } })
  const { now: before } = memoryOf(gateway.pid)

  const client = connect({ host: gateway.host, port: gateway.port })
  const reader: Socket = (await accepted)[0]
  reader.pause()
  const chunk = Buffer.alloc(GULP_BYTES)
  const sent = createHash('sha256')
  const writing = (async () => {
    for (let number = 0; number < MEGABYTES; number++) {
      crypto.getRandomValues(chunk)
      sent.update(chunk)
      if (!client.write(Buffer.from(chunk))) await once(client, 'drain')
    }
    client.end()
  })()
  expect(await stalled(gateway, 'from_client')).toBeLessThan((MEGABYTES * GULP_BYTES) / 2)
  const received = createHash('sha256')
  let bytes = 0
  for await (const part of reader) {
    received.update(part)
    bytes += part.length
  }
  await writing
  expect(bytes).toBe(MEGABYTES * GULP_BYTES)
  expect(received.digest('hex')).toBe(sent.digest('hex'))
  expect(memoryOf(gateway.pid).peak - before).toBeLessThan(GROWTH_BYTES_MAX)
  slow.close()
  client.destroy()
})
