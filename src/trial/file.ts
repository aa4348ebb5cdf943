/** A test file of a plugin: read, checked, with the place of every step. */
import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import * as z from 'zod'
import { parseDuration } from '../base/duration.ts'
import { GatewayError } from '../base/errors.ts'
import type { Environment } from '../config/expand.ts'
import {
  anyMap,
  blocks,
  choice,
  fieldFacts,
  optionalText,
  requiredText,
  section,
  sections,
  text,
  texts,
} from '../config/fields.ts'
import { readTextFile } from '../config/files.ts'
import { parseDraft } from '../config/parse.ts'
import { limits } from '../config/plugin-schema.ts'
import { Problems } from '../config/problem.ts'
import { readYaml } from '../config/yaml.ts'
import { type HookName, hookNamed } from '../hooks/hook.ts'
import { limitsOf } from '../plugins/spec.ts'
import { Flaw, isMap } from './bytes.ts'
import { type Expectation, expectationOf, NOTHING_EXPECTED } from './expectation.ts'
import { messagesOf, type Side } from './messages.ts'

/** The name of a connection that no step names. */
export const MAIN = 'main'
/** Where the clock of a test stands that sets none. */
const NOW = '2026-01-01T00:00:00Z'
const MINUTE_MS = 60_000

/** Reads a value from texts, lists and maps; the flaw it throws becomes a problem with a place. */
function written<Result>(help: string, read: (raw: unknown) => Result) {
  const given = z.unknown().transform((raw, context): Result => {
    try {
      return read(raw)
    } catch (thrown) {
      if (!(thrown instanceof Flaw)) throw thrown
      context.addIssue({
        code: 'custom',
        message: thrown.message,
        input: raw,
        path: [...thrown.path],
      })
      return z.NEVER
    }
  })
  const schema = given.optional()
  fieldFacts.add(schema, { kind: 'value', help, standard: undefined, secret: false })
  return schema
}

/** What is called beside traffic: a hook, with the parameters that its plugin gets. */
export interface HookCall {
  readonly hook: HookName
  readonly params: Readonly<Record<string, unknown>>
}

const OF_TRAFFIC: ReadonlySet<HookName> = new Set([
  'onTrafficFromClient',
  'onTrafficToServer',
  'onTrafficFromServer',
  'onTrafficToClient',
])

function hookCall(raw: unknown): HookCall {
  const [name, ...others] = isMap(raw) ? Object.keys(raw) : [String(raw)]
  const params = isMap(raw) && name !== undefined ? raw[name] : {}
  if (name === undefined || others.length > 0) throw new Flaw('must be one hook')
  const row = hookNamed(name)
  if (row === undefined || row.kind === 'reserved') throw new Flaw('must be the name of a hook')
  if (OF_TRAFFIC.has(row.name)) {
    throw new Flaw(`must not be ${row.name}: write what is sent, as client or server`)
  }
  if (!isMap(params)) throw new Flaw('must be a hook with a map of its parameters')
  return { hook: row.name, params }
}

/** A hook call keeps the types of its parameters. */
function hookField() {
  const schema = written('A hook beside traffic.', hookCall)
  fieldFacts.add(schema, { kind: 'anything', help: '', standard: undefined, secret: false })
  return schema
}

function moment(raw: unknown): number {
  const ms = typeof raw === 'string' && /^\d+$/.test(raw) ? Number(raw) : Date.parse(String(raw))
  if (Number.isFinite(ms)) return ms
  throw new Flaw('must be a time such as 2026-01-01T00:00:00Z, or milliseconds since 1970')
}

function span(raw: unknown): number {
  const ms = parseDuration(String(raw))
  // A number without a unit is nanoseconds, as elsewhere, and never what was meant.
  if (ms !== undefined && ms >= 1) return ms
  throw new Flaw('must be a duration such as 500ms or 1m30s')
}

const facts = section('Who is connected.', {
  user: text('postgres', 'The user.'),
  database: text('', 'The database; left out: the name of the user.'),
  applicationName: text('', 'The application.'),
  client: text('127.0.0.1:50000', 'The address of the client.'),
})

const step = section('Something that is sent or called, and what is expected of it.', {
  on: text(MAIN, 'The connection.'),
  client: written('What the client sends.', (raw) => messagesOf(raw, 'client')),
  server: written('What the server sends.', (raw) => messagesOf(raw, 'server')),
  hook: hookField(),
  now: written('Sets the time.', moment),
  wait: written('Lets time pass.', span),
  // Read where the step is whole: a replacement is made of messages of who sent what it replaces.
  expect: written('What is expected.', (raw) => raw),
})

const stepKinds = ['client', 'server', 'hook', 'now', 'wait'] as const

const checkedStep = step.superRefine((one, context) => {
  if (stepKinds.filter((kind) => one[kind] !== undefined).length !== 1) {
    const message = `must have one of ${stepKinds.join(', ')}`
    context.addIssue({ code: 'custom', message, input: one })
  }
  if (one.expect === undefined) return
  try {
    expectationOf(one.expect, sideOf(one))
  } catch (thrown) {
    if (!(thrown instanceof Flaw)) throw thrown
    const path = ['expect', ...thrown.path]
    context.addIssue({ code: 'custom', message: thrown.message, input: one, path })
  }
})
fieldFacts.add(checkedStep, { kind: 'section', help: '', standard: undefined, secret: false })

/** Who sent what a step's plugin is asked about. */
function sideOf(one: { readonly server?: unknown }): Side {
  return one.server === undefined ? 'client' : 'server'
}

const testCase = section('A case; each has a new instance of the plugin, and an empty store.', {
  name: requiredText('What is promised.'),
  config: anyMap('Replaces keys of the `config` of the file.'),
  connection: facts.optional(),
  steps: sections(checkedStep, 'What happens, in order.'),
})

const schema = section('A test of a plugin.', {
  plugin: text('', 'The module; left out: beside this file, with its name.'),
  config: anyMap('The `config` of the entry.'),
  onFailure: choice(['open', 'closed'], 'open', 'As in an entry.'),
  limits: limits.prefault({}),
  protocol: choice(['postgres', 'raw'], 'postgres', 'How the bytes are cut.'),
  blocks: texts('Blocks that a session may be routed to.'),
  now: optionalText('a time such as 2026-01-01T00:00:00Z', /^\d{4}-\d\d-\d\d|^\d+$/, 'The time.'),
  connection: facts.prefault({}),
  connections: blocks(facts, 'Further connections, by name.').prefault({}),
  cases: sections(testCase, 'The cases.'),
})

type Parsed = z.output<typeof schema>
type ParsedStep = Parsed['cases'][number]['steps'][number]

export interface ConnectionFacts {
  readonly user: string
  readonly database: string
  readonly applicationName: string
  readonly client: string
}

export type Doing =
  | { readonly kind: 'send'; readonly side: Side; readonly messages: readonly Uint8Array[] }
  | ({ readonly kind: 'call' } & HookCall)
  | { readonly kind: 'now'; readonly ms: number }
  | { readonly kind: 'wait'; readonly ms: number }

export interface TrialStep {
  readonly on: string
  readonly line: number
  readonly doing: Doing
  readonly expect: Expectation
}

export interface TrialCase {
  readonly name: string
  readonly line: number
  readonly config: Readonly<Record<string, unknown>>
  readonly connections: ReadonlyMap<string, ConnectionFacts>
  readonly steps: readonly TrialStep[]
}

export interface TrialFile {
  readonly path: string
  readonly module: string
  readonly onFailure: 'open' | 'closed'
  readonly limits: ReturnType<typeof limitsOf>
  readonly protocol: 'postgres' | 'raw'
  /** Empty: any will do. */
  readonly blocks: readonly string[]
  readonly nowMs: number
  readonly cases: readonly TrialCase[]
}

function doingOf({ client, server, hook, now, wait }: ParsedStep): Doing {
  if (client !== undefined) return { kind: 'send', side: 'client', messages: client }
  if (server !== undefined) return { kind: 'send', side: 'server', messages: server }
  if (hook !== undefined) return { kind: 'call', ...hook }
  return now === undefined ? { kind: 'wait', ms: wait ?? 0 } : { kind: 'now', ms: now }
}

const SUFFIX = /(\.test)?\.ya?ml$/

/** The module of a test file: named in it, or beside it and called like it. */
function moduleOf(path: string, named: string, refuse: (message: string) => void): string {
  if (named !== '') return resolve(dirname(path), named)
  const name = `${basename(path).replace(SUFFIX, '')}.wasm`
  const beside = join(dirname(path), name)
  if (!existsSync(beside)) refuse(`names no plugin, and there is no ${name} beside it`)
  return beside
}

/** The steps of one case; `lineOf` tells where they stand. */
function stepsOf(parsed: Parsed['cases'][number], lineOf: (step: number) => number): TrialStep[] {
  return parsed.steps.map((one, at) => {
    const doing = doingOf(one)
    const expect =
      one.expect === undefined ? NOTHING_EXPECTED : expectationOf(one.expect, sideOf(one))
    return { on: one.on, line: lineOf(at), doing, expect }
  })
}

/** A database that is not named is that of the user's name, as PostgreSQL has it. */
function settledFacts(given: ConnectionFacts): ConnectionFacts {
  return { ...given, database: given.database === '' ? given.user : given.database }
}

function textOf(path: string): string {
  const found = readTextFile(path)
  if (found.kind === 'text') return found.text
  const why = found.kind === 'absent' ? 'there is no such file' : found.message
  throw new GatewayError('CONFIG_MISSING', `${path} cannot be read: ${why}`)
}

/** Reads a test file; throws a ConfigError with all that is wrong with it. */
export function readTrialFile(path: string, env: Environment): TrialFile {
  const problems = new Problems()
  const sources = { env, readFile: readTextFile, folder: dirname(path) }
  const draft = readYaml(path, textOf(path), schema, problems, sources)
  if (draft === undefined) throw problems.error()
  const parsed = parseDraft(draft, schema, { file: '', keys: [] }, problems)
  if (parsed === undefined || problems.any()) throw problems.error()
  const whole = { file: path, line: 1, column: 1 }
  const module = moduleOf(path, parsed.plugin, (message) =>
    problems.add(whole, ['plugin'], `it ${message}; set plugin: FILE.wasm`),
  )
  if (parsed.cases.length === 0) problems.add(whole, ['cases'], 'it has no cases')
  const known = [MAIN, ...Object.keys(parsed.connections)]
  const cases = parsed.cases.map((one, at) => {
    const steps = stepsOf(one, (step) => lineOf('cases', String(at), 'steps', String(step)))
    for (const [place, { on }] of steps.entries()) {
      if (known.includes(on)) continue
      const where = ['cases', String(at), 'steps', String(place), 'on']
      problems.add(draft.standing(where).value, where, `there is no connection "${on}"`)
    }
    const main = settledFacts(one.connection ?? parsed.connection)
    const others = Object.entries(parsed.connections).map(
      ([name, given]) => [name, settledFacts(given)] as const,
    )
    return {
      name: one.name,
      line: lineOf('cases', String(at)),
      config: { ...parsed.config, ...one.config },
      connections: new Map([[MAIN, main], ...others]),
      steps,
    }
  })
  if (problems.any()) throw problems.error()
  const { onFailure, protocol } = parsed
  return {
    path,
    module,
    onFailure,
    protocol,
    limits: limitsOf({ limits: parsed.limits, timeout: MINUTE_MS }),
    blocks: parsed.blocks,
    nowMs: moment(parsed.now ?? NOW),
    cases,
  }

  function lineOf(...place: string[]): number {
    return draft?.standing(place).value.line ?? 0
  }
}
