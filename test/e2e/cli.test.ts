import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { type CommandResult, run } from '../kit/command.ts'
import { freePort } from '../kit/free-port.ts'
import { gatewayBinary, runPostern, startGateway } from '../kit/gateway.ts'

const ROOT = resolve(import.meta.dir, '../..')
const AUDIT = join(ROOT, 'dist/plugins/audit.wasm')
/** The least that files may say: every default. */
const FILES = { 'postern.yaml': '{}', 'postern_plugins.yaml': '{}' }

/** Removed at the end; every test has a folder of its own in it. */
let base: string
let folder: string
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'postern-cli-'))
})
beforeEach(() => {
  folder = mkdtempSync(join(base, 'test-'))
})
afterAll(() => rmSync(base, { recursive: true }))

/** Runs a command in the test's folder, where no other gateway of this user is seen. */
function postern(...args: string[]): Promise<CommandResult> {
  return runPostern(args, { cwd: folder, env: { XDG_RUNTIME_DIR: folder, TMPDIR: folder } })
}

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
}

const sha256 = async (file: string): Promise<string> =>
  new Bun.CryptoHasher('sha256').update(await Bun.file(file).bytes()).digest('hex')

const UPSTREAM = ['--upstream', '127.0.0.1:1'] as const
const COMMANDS = [
  ['run'],
  ['config'],
  ['config', 'lint'],
  ['plugin'],
  ['plugin', 'list'],
  ['plugin', 'checksum'],
  ['plugin', 'test'],
  ['plugin', 'bench'],
  ['reload'],
  ['upgrade'],
  ['status'],
  ['version'],
]

describe('help', () => {
  test('is printed by the bare command and by --help, and names every command', async () => {
    for (const args of [[], ['--help'], ['-h']]) {
      const { status, stdout, stderr } = await postern(...args)
      expect(status).toBe(0)
      const text = stdout + stderr
      for (const [command = ''] of COMMANDS) expect(text).toContain(`  ${command}  `)
    }
  })

  test.each(COMMANDS.map((command) => [command.join(' '), command] as const))(
    'of "%s" exits with 0, names the command, and has no colour where nobody sees it',
    async (name, command) => {
      const { status, stdout, stderr } = await postern(...command, '--help')
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      expect(stdout).toContain(`USAGE postern ${name}`)
      expect(stdout).not.toContain('\u001b')
    },
  )
})

describe('what is not known exits with 2', () => {
  test.each([
    ['a command', ['nonsense'], '"nonsense" is no command'],
    ['a command that is nearly right', ['stauts'], 'did you mean "status"?'],
    [
      'a command within a group',
      ['plugin', 'lst'],
      '"plugin lst" is no command; did you mean "list"',
    ],
    ['a group without its command', ['config'], 'lint'],
    ['a flag before any command', ['--nonsense'], 'the flag --nonsense is not known'],
    ['a flag of run', ['run', '--upstrem', 'x:1'], 'did you mean --upstream?'],
    ['a flag of run without its value', ['run', '--upstream'], '--upstream'],
    ['a word after run', ['run', 'fast'], 'fast'],
    ['a flag of config lint', ['config', 'lint', '--jsn'], '--jsn'],
    ['a flag of plugin list', ['plugin', 'list', '--jsn'], 'did you mean --json?'],
    ['a flag of plugin checksum', ['plugin', 'checksum', '--sha1', 'x'], '--sha1'],
    ['plugin checksum without a file', ['plugin', 'checksum'], 'postern plugin checksum FILE'],
    ['a flag of status', ['status', '--sockt', 'x'], 'did you mean --socket?'],
    ['a flag of version', ['version', '--yaml'], '--yaml'],
    ['files beside --upstream', ['run', '-c', 'x.yaml', ...UPSTREAM], 'not both'],
    ['--listen without --upstream', ['run', '--listen', ':1'], '--listen goes with --upstream'],
    ['an upstream that is no address', ['run', '--upstream', 'nonsense'], 'HOST:PORT'],
    [
      'a pin that is none',
      ['run', ...UPSTREAM, '--plugin', 'x@sha256:12'],
      '64 hexadecimal digits',
    ],
  ])('%s', async (_, args, words) => {
    const { status, stdout, stderr } = await postern(...args)
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toContain(words)
  })
})

describe('version', () => {
  test('says version, commit, Bun and platform, for people and for scripts', async () => {
    const { version } = await Bun.file(join(ROOT, 'package.json')).json()
    const { status, stdout } = await postern('version', '--json')
    expect(status).toBe(0)
    const said = JSON.parse(stdout)
    expect(Object.keys(said).sort()).toEqual(['bun', 'commit', 'platform', 'version'])
    expect(said).toMatchObject({ version, bun: Bun.version })
    expect(said.commit).toMatch(/^([0-9a-f]{12}(-dirty)?|unknown)$/)
    const words = `postern ${version} (commit ${said.commit}, Bun ${said.bun}, ${said.platform})\n`
    expect((await postern('version')).stdout).toBe(words)
    expect((await postern('--version')).stdout).toBe(words)
  })

  test('answers at once', async () => {
    const times: number[] = []
    for (let count = 0; count < 9; count++) {
      const startedAtMs = performance.now()
      expect((await postern('version')).status).toBe(0)
      times.push(performance.now() - startedAtMs)
    }
    const median = times.sort((one, other) => one - other)[4] ?? 0
    process.stdout.write(`  postern version: median ${median.toFixed(0)} ms\n`)
    // Ten times what it takes: this is a test of what is loaded, not of the machine.
    expect(median).toBeLessThan(500)
  })
})

describe('config lint', () => {
  test('says which files are valid', async () => {
    write({ 'postern.yaml': 'servers: { default: { address: 127.0.0.1:15432 } }\n' })
    write({ 'postern_plugins.yaml': 'plugins: []\n' })
    const { status, stdout, stderr } = await postern('config', 'lint')
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toBe('postern.yaml is valid\npostern_plugins.yaml is valid\n')
  })

  test('names every problem with its line, its column and the nearest key', async () => {
    write({
      'postern.yaml': 'servers:\n  default:\n    adress: 127.0.0.1:1\n    sessionsMax: none\n',
    })
    const { status, stderr } = await postern('config', 'lint', '-c', 'postern.yaml')
    expect(status).toBe(1)
    expect(stderr).toMatch(/^postern\.yaml:3:5: .*"?adress"?.*\(did you mean "address"\?\)$/m)
    expect(stderr).toMatch(
      /^postern\.yaml:4:18: .*must be a whole number from 1 to 1000000, not "none"$/m,
    )
    expect(stderr).toContain('2 problems')
    const { stdout } = await postern('config', 'lint', '-c', 'postern.yaml', '--json')
    expect(JSON.parse(stdout)).toMatchObject({
      valid: false,
      problems: [
        { file: 'postern.yaml', line: 3, column: 5, nearest: 'address' },
        { file: 'postern.yaml', line: 4, column: 18, path: 'servers.default.sessionsMax' },
      ],
    })
  })

  test('refuses what would be less safe than asked, rather than ignore it', async () => {
    write({ 'postern.yaml': 'servers: { default: { requireTLS: true } }\n' })
    const { status, stderr } = await postern('config', 'lint')
    expect(status).toBe(1)
    expect(stderr).toContain('servers.default.requireTLS must be false where enableTLS is')
  })
})

describe('without a configuration', () => {
  test('run tells both cures: a file, or flags', async () => {
    const { status, stderr } = await postern('run')
    expect(status).toBe(1)
    expect(stderr).toContain('looked for postern.yaml, /etc/postern.yaml, gatewayd.yaml')
    expect(stderr).toContain('create one, or run without: postern run --upstream HOST:PORT')
  })

  test('a file that was named but is not there is named in the error', async () => {
    for (const command of [['run'], ['config', 'lint']]) {
      const { status, stderr } = await postern(...command, '-c', 'nowhere.yaml')
      expect(status).toBe(1)
      expect(stderr).toContain('nowhere.yaml: there is no such configuration file')
    }
  })

  test('status says that no gateway runs, and how to start or name one', async () => {
    const { status, stderr } = await postern('status')
    expect(status).toBe(1)
    expect(stderr).toContain('no gateway of this user runs')
    expect(stderr).toContain('`postern run`')
    expect(stderr).toContain('--socket PATH')
  })
})

describe('run --check', () => {
  test('loads everything, starts plugins, and leaves nothing running', async () => {
    const plugin = `${AUDIT}@sha256:${await sha256(AUDIT)}`
    const { status, stdout, stderr } = await postern(
      'run',
      ...UPSTREAM,
      '--plugin',
      plugin,
      '--check',
    )
    expect(status).toBe(0)
    expect(stdout).toContain('every plugin starts')
    expect(stderr).toContain('plugin ready')
  })

  test('names the required plugin that does not start, and why', async () => {
    const entry = { name: 'audit', localPath: AUDIT, checksum: '0'.repeat(64), required: true }
    write({ ...FILES, 'postern_plugins.yaml': JSON.stringify({ plugins: [entry] }) })
    const { status, stderr } = await postern('run', '--check')
    expect(status).toBe(1)
    expect(stderr).toMatch(/postern run: .*audit.*the checksum is [0-9a-f]{64}/s)
  })

  test('refuses a configuration that is wrong, with every problem', async () => {
    write({ ...FILES, 'postern.yaml': 'server: {}\nservers: { default: { protocol: mysql } }\n' })
    const { status, stderr } = await postern('run', '--check')
    expect(status).toBe(1)
    expect(stderr).toContain('postern.yaml:1:1: ')
    expect(stderr).toContain('(did you mean "servers"?)')
    expect(stderr).toContain('must be one of postgres, raw')
  })
})

describe('plugin', () => {
  test('checksum prints what sha256sum would, and fails for what cannot be read', async () => {
    write({ 'one file': 'abc' })
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    const good = await postern('plugin', 'checksum', 'one file')
    expect(good).toEqual({ status: 0, stdout: `${abc}  one file\n`, stderr: '' })
    const bad = await postern('plugin', 'checksum', 'nowhere', 'one file')
    expect(bad).toMatchObject({ status: 1, stdout: `${abc}  one file\n` })
    expect(bad.stderr).toContain('nowhere')
  })

  test('list shows what the files say where no gateway runs', async () => {
    const pinned = { name: 'audit', localPath: AUDIT, checksum: await sha256(AUDIT) }
    const loose = { name: 'loose', localPath: AUDIT }
    write({ ...FILES, 'postern_plugins.yaml': JSON.stringify({ plugins: [pinned, loose] }) })
    const { status, stdout, stderr } = await postern('plugin', 'list')
    expect(status).toBe(0)
    expect(stderr).toContain('no gateway is running')
    expect(stdout).toMatch(/1000 +audit +\S+ +wasm +not running +onTrafficFromClient/)
    expect(stdout).toMatch(/1001 +loose +wasm +not pinned/)
  })
})

describe('a running gateway', () => {
  test('is seen by status and plugin list, for people and for scripts', async () => {
    const plugin = `${AUDIT}@sha256:${await sha256(AUDIT)}`
    await using gateway = await startGateway({ args: [...UPSTREAM, '--plugin', plugin] })
    const ask = (...args: string[]): Promise<CommandResult> =>
      runPostern(args, { cwd: folder, env: gateway.env })
    const address = `127.0.0.1:${gateway.port}`
    expect((await ask('status')).stdout).toMatch(new RegExp(`default +${address} +postgres`))
    const report = JSON.parse((await ask('status', '--json')).stdout)
    expect(report).toMatchObject({ state: 'ready', pid: gateway.pid, listeners: [{ address }] })
    expect((await ask('plugin', 'list')).stdout).toMatch(/1000 +audit +\S+ +wasm +ready/)
    const { running, plugins } = JSON.parse((await ask('plugin', 'list', '--json')).stdout)
    expect({ running, plugins }).toMatchObject({ running: true, plugins: [{ name: 'audit' }] })
    const nowhere = await ask('status', '--socket', join(folder, 'nowhere.sock'))
    expect(nowhere.status).toBe(1)
    expect(nowhere.stderr).toContain(join(folder, 'nowhere.sock'))
  })

  test.each([['SIGTERM'], ['SIGINT']] as const)('ends on %s with 0', async (signal) => {
    await using gateway = await startGateway({ args: UPSTREAM })
    process.kill(gateway.pid, signal)
    expect(await gateway.exited).toMatchObject({ status: 0, signal: null })
  })

  test('keeps its ports: a second one says which is taken and exits with 1', async () => {
    await using gateway = await startGateway({ args: UPSTREAM })
    const { port, metricsPort } = gateway
    const free = await freePort()
    const listen = await postern('run', ...UPSTREAM, '--listen', `127.0.0.1:${port}`)
    expect(listen.status).toBe(1)
    expect(listen.stderr).toContain(`servers.default.address: cannot listen on 127.0.0.1:${port}`)
    const metrics = ['--listen', `127.0.0.1:${free}`, '--metrics', `127.0.0.1:${metricsPort}`]
    const second = await postern('run', ...UPSTREAM, ...metrics)
    expect(second.status).toBe(1)
    expect(second.stderr).toContain(`metrics.default.address: 127.0.0.1:${metricsPort} is in use`)
  })
})

describe('the README', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')

  test('has examples that lint without a note', async () => {
    const blocks = [...readme.matchAll(/```yaml\n(# (\S+\.yaml)\n[^`]+)```/g)]
    expect(blocks.map(([, , name]) => name)).toEqual(Object.keys(FILES))
    for (const [, text = '', name = ''] of blocks) write({ [name]: text })
    expect(await postern('config', 'lint')).toMatchObject({ status: 0, stderr: '' })
  })

  test('names every metric family of the gateway, and no other', async () => {
    const plugin = `${AUDIT}@sha256:${await sha256(AUDIT)}`
    await using gateway = await startGateway({ args: [...UPSTREAM, '--plugin', plugin] })
    const page = await (await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)).text()
    const served = [...page.matchAll(/^# TYPE (postern_\w+) /gm)].map(([, family]) => family)
    const told = [...readme.matchAll(/`(postern_\w+_\w+)`/g)].map(([, family]) => family)
    const families = new Set(told.filter((family) => !family?.endsWith('_plugins')))
    expect([...families].sort()).toEqual([...new Set(served)].sort())
  })

  test('names every command', () => {
    const named = [...readme.matchAll(/^\| `postern ([a-z ]+)[ A-Z.]*` +\|/gm)]
    const commands = named.map(([, command]) => command?.trim()).sort()
    const groups = ['config', 'plugin']
    const all = COMMANDS.map((command) => command.join(' '))
    expect(commands).toEqual(all.filter((command) => !groups.includes(command)).sort())
  })
})

describe('the executable stands alone', () => {
  /** Files of a folder that would run code in, or set variables of, a careless Bun program. */
  const HOSTILE = {
    'bunfig.toml': 'preload = ["./preload.ts"]\n[run]\npreload = ["./preload.ts"]\n',
    'preload.ts': "require('node:fs').writeFileSync('executed', '')\n",
    '.env': 'POSTERN_SERVERS_DEFAULT_SESSIONSMAX=none\nUPSTREAM_FROM_DOTENV=1\n',
    '.env.local': 'POSTERN_SERVERS_DEFAULT_SESSIONSMAX=none\n',
    'tsconfig.json': '{ "compilerOptions": { "baseUrl": "/nowhere" } }\n',
    'package.json': '{ "type": "commonjs", "main": "preload.ts" }\n',
  }

  test('executes nothing and takes no variables from the folder it is started in', async () => {
    write({ ...HOSTILE, ...FILES })
    for (const args of [['version'], ['config', 'lint'], ['run', '--check']]) {
      const { status, stderr } = await postern(...args)
      expect({ args, status, stderr }).toMatchObject({ args, status: 0 })
      expect(stderr).not.toContain('sessionsMax')
      expect(existsSync(join(folder, 'executed'))).toBeFalse()
    }
    // The same words in the real environment do count: the trap would have been sprung.
    const trapped = await runPostern(['config', 'lint'], {
      cwd: folder,
      env: { POSTERN_SERVERS_DEFAULT_SESSIONSMAX: 'none' },
    })
    expect(trapped.status).toBe(1)
    expect(trapped.stderr).toContain('POSTERN_SERVERS_DEFAULT_SESSIONSMAX')
  })

  test('needs no node_modules: it runs its plugins alone in another folder', async () => {
    const binary = join(folder, 'bin/postern')
    mkdirSync(dirname(binary))
    // The same file without its surroundings; a link where the disk is the same.
    try {
      linkSync(gatewayBinary(), binary)
    } catch {
      copyFileSync(gatewayBinary(), binary)
    }
    copyFileSync(AUDIT, join(folder, 'audit.wasm'))
    const plugin = `audit.wasm@sha256:${await sha256(AUDIT)}`
    const { status, stderr } = await run(
      [binary, 'run', ...UPSTREAM, '--plugin', plugin, '--check'],
      { cwd: folder, env: { HOME: folder, TMPDIR: folder, NODE_PATH: '' } },
    )
    expect({ status, stderr }).toMatchObject({ status: 0 })
    expect(stderr).toContain('plugin ready')
  })
})
