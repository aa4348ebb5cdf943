import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runPostern, startGateway } from './gateway.ts'

/**
 * A stand-in for the executable: the kit is to be proved, not the gateway. It listens where its
 * flags, its file or its environment say, and its first line tells what it was given.
 */
const STAND_IN = `#!${process.execPath}
const args = process.argv.slice(2)
const { PATH, ...env } = process.env
const say = (words) => process.stdout.write(JSON.stringify(words) + '\\n')
const after = (flag) => args[args.indexOf(flag) + 1]
if (args[0] !== 'run') {
  say({ args, env })
  process.exit(args[0] === 'fail' ? 3 : 0)
}
const { readFileSync } = require('node:fs')
const text = args.includes('-c') ? readFileSync(after('-c'), 'utf8') : '{}'
const config = text.startsWith('{') ? JSON.parse(text) : {}
say({ args, env, config, cwd: process.cwd() })
if (env.DIE) process.exit(7)
process.on('SIGTERM', () => { process.stderr.write('last words\\n'); process.exit(0) })
const address = env.POSTERN_SERVERS_DEFAULT_ADDRESS
  ?? (args.includes('--listen') ? after('--listen') : config.servers.default.address)
const [hostname, port] = address.split(':')
if (env.BY_PAGE) {
  const metrics = after('--metrics').split(':')[1]
  Bun.serve({ hostname, port: metrics, fetch: () => new Response('', { status: 200 }) })
} else {
  Bun.listen({ hostname, port: Number(port), socket: { data() {} } })
  process.stderr.write('listening on ' + address + '\\n')
}
setInterval(() => {}, 1000)
`

let folder: string
const before = process.env['POSTERN_TEST_BINARY']
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-stand-in-'))
  writeFileSync(join(folder, 'postern'), STAND_IN)
  chmodSync(join(folder, 'postern'), 0o755)
  process.env['POSTERN_TEST_BINARY'] = join(folder, 'postern')
})
afterAll(() => {
  rmSync(folder, { recursive: true })
  if (before === undefined) delete process.env['POSTERN_TEST_BINARY']
  else process.env['POSTERN_TEST_BINARY'] = before
})

interface Given {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly config: Readonly<Record<string, unknown>>
}
const given = (log: string): Given =>
  JSON.parse(log.split('\n').find((line) => line.startsWith('{')) ?? '{}')

const UPSTREAM = ['--upstream', 'localhost:1']

test('without files a gateway is told by flags where to listen', async () => {
  await using gateway = await startGateway({ args: UPSTREAM })
  const { args } = given(gateway.log())
  expect(args.slice(0, 3)).toEqual(['run', '--upstream', 'localhost:1'])
  expect(args).toContain(`127.0.0.1:${gateway.port}`)
  expect(args).toContain(`127.0.0.1:${gateway.metricsPort}`)
})

test('an object of configuration gets the addresses that it does not name', async () => {
  await using gateway = await startGateway({
    config: { servers: { default: { protocol: 'raw' } }, drainTimeout: '1s' },
    plugins: { plugins: [] },
  })
  const { args, config } = given(gateway.log())
  expect(config).toEqual({
    servers: { default: { address: `127.0.0.1:${gateway.port}`, protocol: 'raw' } },
    metrics: { default: { address: `127.0.0.1:${gateway.metricsPort}` } },
    drainTimeout: '1s',
  })
  expect(args).toContain('-p')
})

test('over a text of configuration the environment says where to listen', async () => {
  await using gateway = await startGateway({ config: 'servers:\n  default: {}\n' })
  const { env, args } = given(gateway.log())
  expect(args).not.toContain('--listen')
  expect(env['POSTERN_SERVERS_DEFAULT_ADDRESS']).toBe(`127.0.0.1:${gateway.port}`)
})

test('a gateway runs in an empty folder with a clean environment', async () => {
  process.env['POSTERN_LEAKED'] = 'yes'
  await using gateway = await startGateway({ env: { ASKED: 'for' } })
  delete process.env['POSTERN_LEAKED']
  const { env, cwd } = given(gateway.log())
  expect(env).not.toContainKey('POSTERN_LEAKED')
  expect(env['ASKED']).toBe('for')
  expect(cwd).toBe(gateway.folder)
})

test('the readiness page is enough where the log says nothing', async () => {
  await using gateway = await startGateway({ args: UPSTREAM, env: { BY_PAGE: '1' } })
  expect(gateway.log()).not.toContain('listening')
})

test('a gateway that ends before it listens is an error with status and log', async () => {
  const starting = startGateway({ env: { DIE: '1' } })
  await expect(starting).rejects.toThrow(/ended \(exit status 7\) before it listened:\n\{"args"/)
})

test('stop waits for the last words and removes every file; it may be called twice', async () => {
  const gateway = await startGateway({ config: {} })
  const file = given(gateway.log()).args[2] ?? ''
  expect(readFileSync(file, 'utf8')).toContain('servers')
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
  expect(gateway.log()).toContain('last words')
  expect(existsSync(file)).toBeFalse()
})

test('kill ends a gateway without its last words', async () => {
  const gateway = await startGateway()
  expect((await gateway.kill()).signal).toBe('SIGKILL')
  expect(gateway.log()).not.toContain('last words')
  await expect(gateway.logged('last words')).rejects.toThrow('ended (SIGKILL) before it logged')
})

test('a command gives its status and its outputs', async () => {
  const { status, stdout } = await runPostern(['fail', 'here'], { env: { A: 'b' } })
  expect(status).toBe(3)
  expect(given(stdout).args).toEqual(['fail', 'here'])
  expect(given(stdout).env['A']).toBe('b')
})

test('an executable that is not there is an error that names it', async () => {
  const named = process.env['POSTERN_TEST_BINARY']
  process.env['POSTERN_TEST_BINARY'] = '/nowhere/postern'
  await expect(startGateway()).rejects.toThrow('/nowhere/postern, which is not there')
  process.env['POSTERN_TEST_BINARY'] = named
})
