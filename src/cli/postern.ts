/** The tree of commands; each is loaded when it is called, so that small ones answer at once. */
import { stripVTControlCharacters } from 'node:util'
import { type CommandDef, defineCommand, renderUsage } from 'citty'
import { version } from '../base/build.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { nearestName } from '../config/nearest.ts'
import type { ProcessIo } from './io.ts'

const DONE = 0
const FAILED = 1
const MISUSED = 2

type Run = (argv: string[], io: ProcessIo) => Promise<number>

/** A command or a group of them; citty renders the help, arguments are parsed by each command. */
interface Entry {
  readonly about: string
  readonly usage?: readonly (readonly [string, string])[]
  readonly load?: () => Promise<Run>
  readonly under?: Readonly<Record<string, Entry>>
}

const FILES = [
  ['-c, --config FILE', 'the global file (else postern.yaml or gatewayd.yaml, in . and /etc)'],
  ['-p, --plugin-config FILE', 'the plugins file'],
] as const
const JSON_FLAG = ['--json', 'for scripts'] as const

const TREE: Readonly<Record<string, Entry>> = {
  run: {
    about: 'Run the gateway',
    usage: [
      ...FILES,
      ['--upstream HOST:PORT', 'the database, for a run without files'],
      ['--listen HOST:PORT', 'where clients connect (default 127.0.0.1:15432)'],
      ['--metrics HOST:PORT', 'where metrics are served (default: nowhere)'],
      ['--protocol NAME', 'postgres (default) or raw'],
      ['--plugin FILE[@sha256:HEX]', 'a plugin; may be repeated, runs in this order'],
      ['--watch', 'reload when the files change'],
      ['--dev', 'permit plugins without a checksum'],
      ['--check', 'load everything, start the plugins, dial nothing, and stop'],
    ],
    load: async () => (await import('./run.ts')).run,
  },
  config: {
    about: 'Look at the configuration',
    under: {
      lint: {
        about: 'Say whether the files are valid, and all that is wrong with them',
        usage: [...FILES, JSON_FLAG],
        load: async () => (await import('./config.ts')).configLint,
      },
    },
  },
  plugin: {
    about: 'Look at plugins',
    under: {
      list: {
        about: 'The plugins of the running gateway, or of the files where none runs',
        usage: [...FILES, JSON_FLAG, ['--socket PATH', 'the control socket']],
        load: async () => (await import('./plugin.ts')).pluginList,
      },
      checksum: {
        about: 'Print the SHA-256 of a file, to pin it',
        usage: [['FILE...', 'the files, each on a line of its own as sha256sum prints it']],
        load: async () => (await import('./plugin.ts')).pluginChecksum,
      },
      test: {
        about: 'Try a WebAssembly plugin on messages, and compare what it does with a file',
        usage: [['FILE...', 'test files, NAME.test.yaml'], JSON_FLAG],
        load: async () => (await import('./plugin-test.ts')).pluginTest,
      },
      bench: {
        about: 'Say how long the hooks of a WebAssembly plugin take, and what memory',
        usage: [['FILE', 'the .wasm, or a test file, whose messages are taken'], JSON_FLAG],
        load: async () => (await import('./plugin-bench.ts')).pluginBench,
      },
    },
  },
  reload: {
    about: 'Have the running gateway take its files into use as they are now',
    usage: [JSON_FLAG, ['--socket PATH', 'the control socket']],
    load: async () => (await import('./reload.ts')).reload,
  },
  upgrade: {
    about: 'Have the executable that lies at its path by now take over from the running gateway',
    usage: [JSON_FLAG, ['--socket PATH', 'the control socket']],
    load: async () => (await import('./upgrade.ts')).upgrade,
  },
  status: {
    about: 'How the running gateway is',
    usage: [JSON_FLAG, ['--socket PATH', 'the control socket']],
    load: async () => (await import('./status.ts')).status,
  },
  version: {
    about: 'Version, commit, Bun version and platform',
    usage: [JSON_FLAG],
    load: async () => (await import('./version.ts')).versionCommand,
  },
}

const ROOT: Entry = { about: 'A plugin-driven gateway for databases', under: TREE }

/** What the gateway's own executable is told to be by it. */
const WORKER_COMMAND = '--worker-of-a-gateway'
const WORKER: Entry = {
  about: 'Serve for a gateway',
  load: async () => (await import('./worker.ts')).worker,
}

const STARTER: Entry = {
  about: 'Start another process for a gateway',
  load: async () => (await import('./starter.ts')).starter,
}
/** What the gateway's own executable may be told to be. */
const OWN = new Map([
  [WORKER_COMMAND, WORKER],
  ['--starter-of-an-upgrade', STARTER],
])

/** Runs a command line; returns the exit status. Errors are told on standard error, once. */
export async function runCli(argv: readonly string[], io: ProcessIo): Promise<number> {
  // No command: none of the tree begins so, and nobody is told of it.
  const [first] = argv
  const own = OWN.get(first ?? '')
  let entry = own ?? ROOT
  const path = ['postern']
  const rest = own === undefined ? [...argv] : argv.slice(1)
  if (own !== undefined) return await runEntry(own, path, rest, io)
  while (entry.under !== undefined && rest[0] !== undefined && !rest[0].startsWith('-')) {
    const name = rest.shift()!
    const next = Object.hasOwn(entry.under, name) ? entry.under[name] : undefined
    if (next === undefined) {
      const nearest = nearestName(name, Object.keys(entry.under))
      const hint = nearest === undefined ? '' : `; did you mean "${nearest}"?`
      io.err(`postern: "${[...path.slice(1), name].join(' ')}" is no command${hint}`)
      io.err(await help(entry, path, io))
      return MISUSED
    }
    entry = next
    path.push(name)
  }
  if (rest[0] === '--version' && entry === ROOT) return runCli(['version'], io)
  if (rest.includes('--help') || rest.includes('-h')) {
    io.out(await help(entry, path, io))
    return DONE
  }
  if (entry.load === undefined) {
    if (rest.length > 0) io.err(`${path.join(' ')}: the flag ${rest[0]} is not known`)
    io.err(await help(entry, path, io))
    return rest.length === 0 && entry === ROOT ? DONE : MISUSED
  }
  return await runEntry(entry, path, rest, io)
}

async function runEntry(
  { load }: Entry,
  path: readonly string[],
  rest: string[],
  io: ProcessIo,
): Promise<number> {
  try {
    const run = await load?.()
    return (await run?.(rest, io)) ?? MISUSED
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown
    io.err(`${path.join(' ')}: ${sentenceOf(thrown)}`)
    return thrown.code === 'USAGE' ? MISUSED : FAILED
  }
}

async function help(entry: Entry, path: readonly string[], io: ProcessIo): Promise<string> {
  const usage = await renderUsage(asCommand(entry, path.at(-1)!), parentOf(path))
  // citty colours whatever it writes, and pads it.
  const plain = io.colour ? usage : stripVTControlCharacters(usage)
  const text = plain.replace(/ +$/gm, '').trimEnd()
  const flags = entry.usage ?? []
  if (flags.length === 0) return text
  const width = Math.max(...flags.map(([flag]) => flag.length))
  const lines = flags.map(([flag, about]) => `  ${flag.padEnd(width)}  ${about}`)
  return `${text}\n\n${lines.join('\n')}`
}

function parentOf(path: readonly string[]): CommandDef | undefined {
  const above = path.slice(0, -1).join(' ')
  return above === '' ? undefined : defineCommand({ meta: { name: above } })
}

function asCommand(entry: Entry, name: string): CommandDef {
  const { under } = entry
  return defineCommand({
    meta: { name, version, description: entry.about },
    ...(under === undefined
      ? {}
      : {
          subCommands: Object.fromEntries(
            Object.entries(under).map(([key, inner]) => [key, asCommand(inner, key)]),
          ),
        }),
  })
}
