/**
 * Plugins that cannot be started: one clear error that names the plugin and the cause; then the
 * gateway goes on without it, or refuses to start, as `required` says.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommandResult } from '../kit/command.ts'
import { runPostern } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { runningProcesses } from '../kit/processes.ts'
import { until } from '../kit/traffic.ts'
import {
  buildPlugins,
  configFor,
  type Entry,
  entryOf,
  fixture,
  isUsable,
  linesWith,
  listed,
  login,
  samples,
  scripted,
  sha256,
  startWith,
} from './plugins-scene.ts'

const WRONG = 'ab'.repeat(32)

let postgres: PostgresServer
let folder: string
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
  folder = mkdtempSync(join(tmpdir(), 'postern-plugins-'))
}, 120_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

/** An entry for a script of these lines, pinned. */
function script(name: string, lines: string, mode = 0o755): Entry {
  const localPath = join(folder, name)
  writeFileSync(localPath, `#!/bin/sh\n${lines}\n`)
  chmodSync(localPath, mode)
  return { name, localPath, checksum: sha256(localPath) }
}

/** A file that is no module and no program. */
function text(name: string): Entry {
  const localPath = join(folder, name)
  writeFileSync(localPath, 'Once upon a time')
  return { name, localPath, checksum: sha256(localPath) }
}

interface Fault {
  readonly entry: () => Entry
  /** Words that the one error must contain. */
  readonly words: (entry: Entry) => readonly string[]
  readonly state: string
}

const of =
  (...words: readonly string[]) =>
  (): readonly string[] =>
    words
const hashesOf = ({ localPath }: Entry): readonly string[] => [sha256(String(localPath)), WRONG]
const unpinned = ({ checksum: _, ...entry }: Entry): Entry => entry

const FAULTS: Readonly<Record<string, Fault>> = {
  'an executable that is not there': {
    entry: () => ({ name: 'gone', localPath: join(folder, 'gone'), checksum: WRONG }),
    words: of('gone does not exist', 'localPath'),
    state: 'broken',
  },
  'a module that is not there': {
    entry: () => ({
      name: 'gone-wasm',
      localPath: join(folder, 'gone.wasm'),
      checksum: WRONG,
      runtime: 'wasm',
    }),
    words: of('gone.wasm', 'cannot be read', 'ENOENT'),
    state: 'broken',
  },
  'a file that may not be executed': {
    entry: () => script('unexecutable', 'exit 0', 0o644),
    words: of('may not be read and executed', 'chmod 755'),
    state: 'broken',
  },
  'a folder in the place of a file': {
    entry: () => {
      mkdirSync(join(folder, 'nested'), { recursive: true })
      return { name: 'folder', localPath: join(folder, 'nested'), checksum: WRONG }
    },
    words: of('is no file'),
    state: 'broken',
  },
  'a file that is no module': {
    entry: () => ({ ...text('story.wasm'), name: 'story', runtime: 'wasm' }),
    words: of('story.wasm', 'not a WebAssembly 1.0 module'),
    state: 'broken',
  },
  'a file that is no program': {
    entry: () => {
      const entry = text('prose')
      chmodSync(String(entry['localPath']), 0o755)
      return entry
    },
    words: of('no program for this machine'),
    state: 'broken',
  },
  'a module of another checksum': {
    entry: () => entryOf('verdicts.wasm', { checksum: WRONG }),
    words: hashesOf,
    state: 'broken',
  },
  'an executable of another checksum': {
    entry: () => ({ ...script('replaced', 'exit 0'), checksum: WRONG }),
    words: hashesOf,
    state: 'broken',
  },
  'a module without a checksum': {
    entry: () => unpinned(entryOf('verdicts.wasm')),
    words: ({ localPath }) => ['no checksum', sha256(String(localPath))],
    state: 'broken',
  },
  'an executable without a checksum': {
    entry: () => unpinned(script('unpinned', 'exit 0')),
    words: ({ localPath }) => ['no checksum', sha256(String(localPath))],
    state: 'broken',
  },
  'an executable that others may write': {
    entry: () => script('open-to-all', 'exit 0', 0o777),
    words: of('may be written by its group or by others', 'chmod go-w'),
    state: 'broken',
  },
  'a plugin that says nothing': {
    entry: () => ({ ...script('silent', 'exec sleep 60'), startTimeout: '300ms' }),
    words: of('no handshake line in 300 ms', 'startTimeout'),
    state: 'broken',
  },
  'a plugin that says something else': {
    entry: () => script('chatty', 'echo hello there; exec sleep 60'),
    words: of('"hello there" instead of a handshake line'),
    state: 'broken',
  },
  'a plugin that ends at once': {
    entry: () => script('hasty', 'echo there is no room >&2; exit 3'),
    words: of('ended with code 3 before its handshake line', 'there is no room'),
    state: 'broken',
  },
}

/** Runs a command over files that are written for it. */
async function command(
  argv: readonly string[],
  plugins: readonly Entry[],
  more: readonly string[] = [],
): Promise<CommandResult> {
  const cwd = mkdtempSync(join(folder, 'cwd-'))
  const run = mkdtempSync(join(folder, 'run-'))
  chmodSync(run, 0o700)
  const config = join(cwd, 'postern.yaml')
  const file = join(cwd, 'postern_plugins.yaml')
  writeFileSync(config, JSON.stringify(configFor(postgres, { plugins })))
  writeFileSync(file, JSON.stringify({ plugins }))
  const env = { XDG_RUNTIME_DIR: run }
  return await runPostern([...argv, '-c', config, '-p', file, ...more], { cwd, env })
}

for (const [what, { entry, words, state }] of Object.entries(FAULTS)) {
  describe(what, () => {
    test('is told once where it is not required, and the gateway goes on', async () => {
      const faulty = entry()
      const name = String(faulty['name'])
      await using gateway = await startWith(postgres, { plugins: [faulty] })
      using wire = await login(gateway, postgres)
      expect(await isUsable(wire)).toBeTrue()
      const told = linesWith(gateway.log(), words(faulty))
      expect(told.filter((line) => / (ERR|WRN) /.test(line))).toHaveLength(1)
      expect(told.at(-1)).toContain(name)
      expect(told.at(-1)).toContain('the gateway goes on without it')
      const [report] = await listed(gateway)
      expect(report).toMatchObject({ name, state })
      for (const word of words(faulty)) expect(report?.lastError).toContain(word)
      const labels = [`plugin="${name}"`, `state="${state}"`]
      expect(await samples(gateway, 'postern_plugin_state', ...labels)).toBe(1)
      expect((await gateway.stop()).status).toBe(0)
    })

    test('refuses the start where it is required', async () => {
      const faulty = entry()
      const { status, stdout, stderr } = await command(
        ['run', '--check'],
        [{ ...faulty, required: true }],
      )
      expect(status).toBe(1)
      const told = linesWith(`${stdout}\n${stderr}`, words(faulty))
      expect(told).toHaveLength(1)
      expect(told[0]).toContain(`plugin "${faulty['name']}"`)
      expect(told[0]).toContain('it is required, so the gateway does not start')
    })
  })
}

test('a start that is refused has status 1, and ends what was started', async () => {
  const plugins = [scripted(), { ...FAULTS['a plugin that ends at once']!.entry(), required: true }]
  const { status, stderr } = await command(['run'], plugins)
  expect(status).toBe(1)
  expect(stderr).toContain('plugin "hasty"')
  await until(
    'the plugin before it has ended',
    () => pidsOf(fixture('scripted'), folder).length === 0,
  )
})

/** Processes of a program whose environment names a path in this folder. */
function pidsOf(program: string, within: string): readonly number[] {
  return runningProcesses()
    .filter(({ commandLine }) => commandLine.startsWith(program))
    .filter(({ environment }) => environment.includes(within))
    .map(({ pid }) => pid)
}

test('run --check tells of every plugin that does not start, and leaves nothing', async () => {
  const sound = await command(['run', '--check'], [entryOf('verdicts.wasm'), scripted()])
  expect(sound).toMatchObject({ status: 0 })
  expect(sound.stdout).toContain('everything loads')
  expect(pidsOf(fixture('scripted'), folder)).toEqual([])
  const changed = FAULTS['a module of another checksum']!.entry()
  const gone: Entry = { ...FAULTS['a plugin that ends at once']!.entry(), required: true }
  const faulty = await command(['run', '--check'], [changed, scripted(), gone])
  expect(faulty.status).toBe(1)
  for (const entry of [changed, gone]) expect(faulty.stderr).toContain(`${entry['localPath']}`)
  expect(pidsOf(fixture('scripted'), folder)).toEqual([])
})

test('plugin list tells from the files alone what is wrong with them', async () => {
  const plugins = [
    entryOf('verdicts.wasm', { name: 'sound' }),
    entryOf('verdicts.wasm', { name: 'replaced', checksum: WRONG }),
    { ...unpinned(entryOf('verdicts-pdk.wasm')), name: 'unpinned' },
    { name: 'gone', localPath: join(folder, 'gone'), checksum: WRONG },
    scripted({}, { enabled: false }),
  ]
  const { status, stdout } = await command(['plugin', 'list', '--json'], plugins)
  expect(status).toBe(0)
  const { running, plugins: rows } = JSON.parse(stdout)
  expect(running).toBeFalse()
  const told = rows.map(({ name, state, priority, version }: Entry) => [
    name,
    state,
    priority,
    version,
  ])
  expect(told).toEqual([
    ['sound', 'not running', 1000, '1.0.0'],
    ['replaced', 'not pinned', 1001, ''],
    ['unpinned', 'not pinned', 1002, ''],
    ['gone', 'broken', 1003, ''],
    ['scripted', 'disabled', 1004, ''],
  ])
  expect(rows[1].lastError).toContain(WRONG)
  expect(rows[1].lastError).toContain(sha256(fixture('verdicts.wasm')))
  expect(rows[3].lastError).toContain('ENOENT')
})

test('a gateway with faulty and sound plugins runs the sound ones in their order', async () => {
  const plugins = [
    FAULTS['an executable of another checksum']!.entry(),
    scripted({ TAG: 'a' }, { name: 'a' }),
    entryOf('verdicts.wasm', { name: 'off', enabled: false, config: { tag: 'x' } }),
    entryOf('verdicts.wasm', { name: 'b', config: { tag: 'b' } }),
  ]
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  expect(await wire.rows("select 'trail[....]'")).toEqual([['trail[abab]']])
  const all = (await listed(gateway)).map(({ name, state, priority }) => [name, state, priority])
  expect(all).toEqual([
    ['replaced', 'broken', 1000],
    ['a', 'ready', 1001],
    ['b', 'ready', 1003],
  ])
  const status = await runPostern(['status', '--json'], { env: gateway.env })
  expect(JSON.parse(status.stdout).plugins).toEqual({ total: 3, ready: 2 })
  const table = await runPostern(['plugin', 'list'], { env: gateway.env })
  expect(table.stdout).toContain(WRONG)
})

test('two entries of one name are refused', async () => {
  const twice = [entryOf('verdicts.wasm', { name: 'twin' }), scripted({}, { name: 'twin' })]
  const { status, stdout, stderr } = await command(['run', '--check'], twice)
  expect(status).toBe(1)
  expect(`${stdout}${stderr}`).toContain('plugins[1].name is also that of plugins[0]')
})

test('SIGTERM leaves no process of a plugin and no file of the run folder behind', async () => {
  const run = mkdtempSync(join(folder, 'run-'))
  chmodSync(run, 0o700)
  const hooked = scripted({}, { name: 'one' })
  const stubborn = scripted({}, { name: 'two' })
  const gateway = await startWith(postgres, {
    plugins: [hooked, entryOf('verdicts.wasm'), stubborn],
    env: { XDG_RUNTIME_DIR: run },
  })
  const wire = await login(gateway, postgres)
  const pids = (await listed(gateway)).flatMap(({ pid }) => (pid === null ? [] : [pid]))
  expect(pids).toHaveLength(2)
  // One of them cannot answer any more, and must be killed.
  process.kill(pids[1]!, 'SIGSTOP')
  expect((await gateway.stop()).status).toBe(0)
  wire.destroy()
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  const left = readdirSync(run, { recursive: true }).map(String)
  expect(left.filter((name) => name !== 'postern')).toEqual([])
})
