/**
 * gRPC plugins that say what no plugin should: before the handshake, in it, about themselves, and
 * in their results. Each is told by name, place and cause; the gateway and the others go on.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeIdentity } from '../../src/plugins/grpc/cert.ts'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  buildPlugins,
  type Entry,
  exchange,
  type Listed,
  linesWith,
  listed,
  login,
  scripted,
  sha256,
  startWith,
  stepFailures,
} from './plugins-scene.ts'

let postgres: PostgresServer
let certificate = ''
const folder = mkdtempSync(join(tmpdir(), 'ph-'))
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
  const identity = await makeIdentity()
  certificate = identity.certificate.replace(/-----[^-]+-----|\s|=/g, '')
}, 120_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

const ROW = (value: string) => ['RowDescription', `row ${value}`, 'SELECT 1', 'ready I']
const DENIED = 'ERROR 42000 Request terminated | Policy terminated the request | -'

/** A plugin that prints this, and goes on to do nothing. */
function printing(name: string, command: string): Entry {
  const localPath = join(folder, name)
  writeFileSync(localPath, `#!/bin/sh\n${command}\nexec sleep 60\n`)
  chmodSync(localPath, 0o755)
  return { name, localPath, checksum: sha256(localPath) }
}

/** By the name of the plugin: its entry, and words of the one error about it. */
type Cases = Readonly<Record<string, readonly [entry: (name: string) => Entry, words: string]>>

const line = (text: string) => (name: string) =>
  printing(name, `echo "${text.replace('CERT', certificate)}"`)
const noise = (command: string) => (name: string) => printing(name, command)
const describing = (fault: string, more: Entry = {}) => {
  return (name: string) => scripted({ DESCRIBE: fault }, { name, ...more })
}

const REFUSED: Cases = {
  words: [line('ready to serve'), '"ready to serve" instead of a handshake line'],
  'no-line': [line(''), '"" instead of a handshake line'],
  'other-core': [line('2|1|unix|/s|grpc|CERT'), 'it speaks core protocol "2"'],
  'other-version': [line('1|3|unix|/s|grpc|CERT'), 'it speaks plugin protocol "3"'],
  'net-rpc': [line('1|1|unix|/s|netrpc|CERT'), 'it speaks "netrpc", the gateway speaks grpc only'],
  'no-rpc': [line('1|1|unix|/s'), 'it speaks net/rpc, the gateway speaks grpc only'],
  'no-certificate': [line('1|1|unix|/s|grpc'), 'it sent no certificate'],
  'half-certificate': [line(`1|1|unix|/s|grpc|${'QUJD'.repeat(30)}`), 'is no X.509 certificate'],
  'other-certificate': [
    (name) => scripted({ LIE: 'certificate' }, { name }),
    'UNAVAILABLE: it serves with another certificate than that of its handshake line; the plugin',
  ],
  'far-away': [line('1|1|tcp|192.0.2.1:5000|grpc|CERT'), 'it must use 127.0.0.1'],
  'no-port': [line('1|1|tcp|127.0.0.1|grpc|CERT'), 'is not HOST:PORT'],
  'long-path': [line(`1|1|unix|/${'s'.repeat(120)}|grpc|CERT`), 'a socket can have'],
  'no-socket': [line('1|1|unix|/nowhere/s|grpc|CERT'), 'GetPluginConfig failed: UNAVAILABLE'],
  'noise-in-lines': [noise('yes noise | head -c 10485760'), '"noise" instead of a handshake line'],
  'noise-in-bytes': [
    noise('head -c 10485760 /dev/urandom | tr -d "\\n"'),
    'printed 65536 bytes without a handshake line',
  ],
  hangs: [describing('hang', { startTimeout: '2s' }), 'GetPluginConfig was not answered in'],
  fails: [describing('fail'), 'GetPluginConfig failed: INTERNAL: Error: no idea who I am'],
  'too-deep': [
    describing('nested'),
    'is not a plugin.v1.Struct: nested deeper than 64; the plugin must',
  ],
  cut: [describing('truncated'), 'the result of GetPluginConfig is not a plugin.v1.Struct'],
}

async function statusOf(gateway: RunningGateway, name: string): Promise<Listed | undefined> {
  return (await listed(gateway)).find((plugin) => plugin.name === name)
}

test('plugins that say nonsense at their start are told one by one; the others run', async () => {
  const entries = Object.entries(REFUSED).map(([name, [entry]]) => entry(name))
  await using gateway = await startWith(postgres, { plugins: [...entries, scripted()] })
  using wire = await login(gateway, postgres)
  expect((await exchange(wire, [query('select 1 /*deny*/')], 1))[0]).toBe(DENIED)
  const all = await listed(gateway)
  for (const [name, [, words]] of Object.entries(REFUSED)) {
    const told = linesWith(gateway.log(), [' ERR ', `plugin ${name} (`])
    expect(told, name).toHaveLength(1)
    expect(told[0]).toContain(words)
    expect(told[0]).toContain('the gateway goes on without it')
    const status = all.find((plugin) => plugin.name === name)
    expect(status, name).toMatchObject({ state: 'broken', pid: null })
    expect(status?.lastError).toContain(words)
  }
  expect((await gateway.stop()).status).toBe(0)
}, 120_000)

describe('a plugin whose description', () => {
  test('has wrong types is taken without what they say', async () => {
    await using gateway = await startWith(postgres, {
      plugins: [scripted({ DESCRIBE: 'types' }, { name: 'typed' })],
    })
    expect(await statusOf(gateway, 'typed')).toMatchObject({ state: 'ready', hooks: [] })
  })

  test('lists numbers that are no hooks is called for the others', async () => {
    await using gateway = await startWith(postgres, {
      plugins: [scripted({ DESCRIBE: 'hooks' }, { name: 'listing' })],
    })
    using wire = await login(gateway, postgres)
    expect((await exchange(wire, [query('select 1 /*deny*/')], 1))[0]).toBe(DENIED)
    const status = await statusOf(gateway, 'listing')
    expect(status).toMatchObject({ state: 'ready', hooks: ['onTrafficFromClient'] })
  })

  test('is empty runs, and is called for nothing', async () => {
    await using gateway = await startWith(postgres, {
      plugins: [scripted({ DESCRIBE: 'empty' }, { name: 'modest' })],
    })
    using wire = await login(gateway, postgres)
    expect(await exchange(wire, [query('select 1 /*deny*/')], 1)).toEqual(ROW('1'))
    expect(await statusOf(gateway, 'modest')).toMatchObject({ state: 'ready', hooks: [] })
  })
})

test('a plugin that listens on a port of this machine is spoken to', async () => {
  await using gateway = await startWith(postgres, { plugins: [scripted({ LISTEN: 'tcp' })] })
  using wire = await login(gateway, postgres)
  expect((await exchange(wire, [query('select 1 /*deny*/')], 1))[0]).toBe(DENIED)
})

/** Marks of results that cannot be used, with words of the cause. */
const RESULTS: Readonly<Record<string, string>> = {
  nested: 'the result of OnTrafficFromClient is not a plugin.v1.Struct: nested deeper',
  truncated: 'not a plugin.v1.Struct: truncated at byte',
  notext: 'UTF-8',
  crowded: 'more than 1000000 values',
  huge: 'is longer than resultBytesMax (5000000)',
  half: 'unusable replacement',
  garbage: 'unusable replacement',
}

for (const onFailure of ['open', 'closed'] as const) {
  describe(`results that cannot be used, onFailure: ${onFailure}`, () => {
    test('are failures with plugin, hook and cause, and the next call is judged', async () => {
      const plugins = [scripted({}, { onFailure })]
      const file = { resultBytesMax: 5_000_000 }
      await using gateway = await startWith(postgres, { plugins, file })
      using wire = await login(gateway, postgres)
      const { pid } = (await statusOf(gateway, 'scripted'))!
      let failures = 0
      for (const [mark, words] of Object.entries(RESULTS)) {
        const reply = await exchange(wire, [query(`select 1 /*${mark}*/`)], 1)
        if (onFailure === 'open') expect(reply, mark).toEqual(ROW('1'))
        else expect(reply[0], mark).toStartWith('ERROR 58000 plugin "scripted" failed')
        expect(await stepFailures(gateway, 'scripted'), mark).toBe(++failures)
        const status = await statusOf(gateway, 'scripted')
        expect(status, mark).toMatchObject({ state: 'ready', pid })
        if (!words.startsWith('unusable')) expect(status?.lastError, mark).toContain(words)
        expect((await exchange(wire, [query('select 1 /*deny*/')], 1))[0], mark).toBe(DENIED)
      }
      await gateway.logged('plugin "scripted" failed at onTrafficFromClient: ')
      // Neither of these says anything: what it was given goes on.
      for (const mark of ['unknown', 'types']) {
        const reply = await exchange(wire, [query(`select 1 /*${mark}*/`)], 1)
        expect(reply, mark).toEqual(ROW('1'))
      }
      expect(await stepFailures(gateway, 'scripted')).toBe(failures)
    }, 60_000)
  })
}
