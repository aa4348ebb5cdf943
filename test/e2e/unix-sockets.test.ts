/** Clients and databases on Unix sockets and on IPv6, as operators set them up. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { findProgram } from '../bench/programs.ts'
import { run } from '../kit/command.ts'
import { freePort } from '../kit/free-port.ts'
import { startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { postgresPrograms } from '../kit/postgres-binaries.ts'
import { mustBeSound, statusOf, until } from '../kit/traffic.ts'

setDefaultTimeout(30_000)

const psql = findProgram('psql')
const hasV6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
)

let folder = ''
let sockets = ''
let server: PostgresServer
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-unix-'))
  chmodSync(folder, 0o755)
  sockets = join(folder, 'db')
  mkdirSync(sockets)
  const { account } = await postgresPrograms()
  if (account !== null) chownSync(sockets, account.uid, account.gid)
  const listen_addresses = hasV6 ? '127.0.0.1,::1' : '127.0.0.1'
  server = await startPostgres({
    settings: { unix_socket_directories: sockets, listen_addresses },
  })
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

const path = (): string => join(folder, '.s.PGSQL.6432')

/** A gateway on a Unix socket, before the server's own. */
function start(front: Readonly<Record<string, unknown>> = {}) {
  const listening = { network: 'unix', address: path(), ...front }
  const address = join(sockets, `.s.PGSQL.${server.port}`)
  return startGateway({
    config: {
      servers: { default: listening },
      clients: { default: { writes: { network: 'unix', address, retries: 0 } } },
      proxies: { default: { writes: { healthCheckPeriod: '50ms' } } },
    },
  })
}

async function answer(host: string, port: number): Promise<unknown> {
  const client = new Client({ host, port, user: 'postgres', database: 'postgres' })
  await client.connect()
  const { rows } = await client.query('select inet_client_addr() as address')
  await client.end()
  return rows[0]
}

describe('a gateway on a Unix socket', () => {
  test('before a Unix socket serves drivers by the folder, and is gone after', async () => {
    const gateway = await start({ socketMode: '0660' })
    expect(statSync(path()).mode & 0o777).toBe(0o660)
    expect(await answer(folder, 6432)).toEqual({ address: null })
    await until(
      'it is probed',
      async () => (await statusOf(gateway)).upstreams[0]?.reachable === true,
    )
    await mustBeSound(gateway)
    expect((await gateway.stop()).status).toBe(0)
    expect(existsSync(path())).toBe(false)
  })

  test.skipIf(psql === null)('is found by psql -h FOLDER (needs psql)', async () => {
    await using _gateway = await start()
    const args = ['-X', '-A', '-t', '-h', folder, '-p', '6432', '-U', 'postgres']
    const { stdout, status } = await run([psql ?? '', ...args, '-c', 'select 1', 'postgres'])
    expect({ stdout: stdout.trim(), status }).toEqual({ stdout: '1', status: 0 })
  })

  test('that was killed leaves its socket to the next, which works', async () => {
    const killed = await start()
    await killed.kill()
    expect(existsSync(path())).toBe(true)
    await using _next = await start()
    expect(await answer(folder, 6432)).toEqual({ address: null })
  })

  test('does not push out another that lives, nor any other file', async () => {
    await using _first = await start()
    const place = `servers.default.address: cannot listen on ${path()}`
    await expect(start()).rejects.toThrow(`${place}: another process listens on it`)
    expect(await answer(folder, 6432)).toEqual({ address: null })
    const file = join(folder, 'precious')
    writeFileSync(file, 'precious')
    await expect(start({ address: file })).rejects.toThrow('a file is there that is no socket')
    expect(readFileSync(file, 'utf8')).toBe('precious')
    const missing = join(folder, 'missing/front.sock')
    await expect(start({ address: missing })).rejects.toThrow('missing; make it first')
    await expect(start({ address: folder })).rejects.toThrow('it is a folder; name a file in it')
  })
})

test.skipIf(!hasV6).each(['[::1]', '[::]'])(
  'IPv6 is listened on at %s and dialled (needs IPv6 on the loopback)',
  async (host) => {
    const port = await freePort()
    const writes = { address: `[::1]:${server.port}`, retries: 0 }
    const config = {
      servers: { default: { address: `${host}:${port}` } },
      clients: { default: { writes } },
    }
    await using gateway = await startGateway({ config })
    const { listeners, upstreams } = await statusOf(gateway)
    expect(listeners[0]?.address).toBe(`${host}:${port}`)
    expect(upstreams[0]?.address).toBe(`[::1]:${server.port}`)
    expect(await answer('::1', port)).toEqual({ address: '::1' })
    if (host === '[::]') expect(await answer('127.0.0.1', port)).toEqual({ address: '::1' })
  },
)
