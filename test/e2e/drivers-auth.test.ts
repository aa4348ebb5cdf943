import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Client } from 'pg'
import postgres from 'postgres'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresAuth, type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { mustBeSound, startWay, WAYS } from '../kit/traffic.ts'
import { openSession } from '../kit/wire.ts'

setDefaultTimeout(30_000)

const METHODS: readonly PostgresAuth[] = ['trust', 'password', 'md5', 'scram-sha-256']

/** Logs in with both drivers and with bytes of our own; returns who each of them is then. */
async function logIns(gateway: RunningGateway, password: string) {
  const at = { host: gateway.host, port: gateway.port, user: 'postgres', database: 'postgres' }
  const pg = async (): Promise<string> => {
    const client = new Client({ ...at, password })
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query('select current_user as who')
    await client.end()
    return rows[0].who
  }
  const postgresJs = async (): Promise<string> => {
    const sql = postgres({ ...at, password, max: 1 })
    try {
      const [row] = await sql`select current_user as who`
      return row?.['who']
    } finally {
      await sql.end()
    }
  }
  const wire = async (): Promise<string> => {
    using session = await openSession({ ...at, password })
    const [row] = await session.rows('select current_user')
    return row?.[0] ?? ''
  }
  const outcomes = await Promise.allSettled([pg(), postgresJs(), wire()])
  return outcomes.map((outcome) =>
    outcome.status === 'fulfilled' ? outcome.value : String(outcome.reason?.message),
  )
}

describe.each(METHODS)('the method %s', (auth) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres({ auth })
  })
  afterAll(() => server.stop())

  test.each(WAYS)('lets the right password in, and no wrong one, $way', async (way) => {
    await using gateway = await startWay(server, way)
    expect(await logIns(gateway, server.password)).toEqual(['postgres', 'postgres', 'postgres'])
    const wrong = await logIns(gateway, 'wrong')
    if (auth === 'trust') expect(wrong).toEqual(['postgres', 'postgres', 'postgres'])
    else for (const outcome of wrong) expect(outcome).toContain('password authentication failed')
    await mustBeSound(gateway)
  })
})
