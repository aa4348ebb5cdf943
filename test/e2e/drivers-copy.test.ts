import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { memoryOf, metric, mustBeSound, startWay, WAYS } from '../kit/traffic.ts'

const MEGABYTES = process.env['POSTERN_LONG'] === '1' ? 1_000 : 200
setDefaultTimeout(MEGABYTES * 600)
const ROW_BYTES = 1_000
/** Both the copy's bytes and the table are kept outside of the gateway. */
const GROWTH_BYTES_MAX = 100e6

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ settings: { synchronize_seqscans: 'off' } })
})
afterAll(() => server.stop())

/** A megabyte of rows, every one of them different from those of all other megabytes. */
function megabyte(number: number): Buffer {
  const rows = Buffer.alloc(1_000_000, 'abcdefghijklmnopqrstuvwxyz')
  for (let at = 0; at < rows.length; at += ROW_BYTES) {
    rows.write(`${number}-${at}-`, at)
    rows.write('\n', at + ROW_BYTES - 1)
  }
  return rows
}

describe.each(WAYS)('$way', (way) => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startWay(server, way)
  })
  afterAll(() => gateway.stop())

  test(`${MEGABYTES} MB copied in and out again are the same bytes, in little memory`, async () => {
    const { host, port } = gateway
    const sql = postgres({ host, port, user: 'postgres', database: 'postgres', max: 1 })
    await sql`create temp table lines (line text)`
    const before = memoryOf(gateway.pid).now
    const sent = createHash('sha256')
    const source = Readable.from(
      (function* () {
        for (let number = 0; number < MEGABYTES; number++) {
          const rows = megabyte(number)
          sent.update(rows)
          yield rows
        }
      })(),
    )
    await pipeline(source, await sql`copy lines from stdin`.writable())

    const received = createHash('sha256')
    let bytes = 0
    for await (const chunk of await sql`copy lines to stdout`.readable()) {
      if (!Buffer.isBuffer(chunk)) throw new Error('the driver gave no bytes')
      received.update(chunk)
      bytes += chunk.length
    }
    expect(bytes).toBe(MEGABYTES * 1_000_000)
    expect(received.digest('hex')).toBe(sent.digest('hex'))
    expect(memoryOf(gateway.pid).peak - before).toBeLessThan(GROWTH_BYTES_MAX)
    await sql.end()

    for (const direction of ['to_server', 'to_client']) {
      const moved = await metric(gateway, 'postern_bytes_total', { direction })
      expect(moved).toBeGreaterThan(bytes)
    }
    await mustBeSound(gateway)
  })
})
