/** What plugins are told at each hook, and what becomes of their answers. */
import { describe, expect, test } from 'bun:test'
import { BUILT_IN_POLICIES } from '../../../src/config/policies.ts'
import { HOOKS, type HookName } from '../../../src/hooks/hook.ts'
import type { ObservedEvent } from '../../../src/hooks/step.ts'
import { type Outcome, type StepOwner, stepsOf } from '../../../src/plugins/grpc/steps.ts'
import type { Struct } from '../../../src/plugins/grpc/struct.ts'
import { carriedOf, query, sessionOf } from '../../fixtures/grpc/surroundings.ts'

const ALL: readonly HookName[] = HOOKS.filter((row) => row.kind !== 'reserved').map(
  (row) => row.name,
)
const REQUEST = query('select 1')
const OTHER = query('select 2')
const CLIENT = { local: '127.0.0.1:15432', remote: '127.0.0.1:50001' }
const SERVER = { local: '127.0.0.1:50002', remote: '127.0.0.1:5432' }

/** A plugin that answers as the test says and remembers what it was told. */
class Owner implements StepOwner {
  readonly name = 'tried'
  readonly priority = 1003
  readonly onFailure = 'closed'
  readonly policies = BUILT_IN_POLICIES
  readonly told: [HookName, Struct][] = []
  readonly failures: string[] = []
  readonly #answer: (params: Struct) => Outcome | Promise<Outcome>

  constructor(answer: (params: Struct) => Outcome | Promise<Outcome>) {
    this.#answer = answer
  }

  call(hook: HookName, params: Struct): Outcome | Promise<Outcome> {
    this.told.push([hook, params])
    return this.#answer(params)
  }

  failed(hook: HookName, cause: string): void {
    this.failures.push(`${hook}: ${cause}`)
  }
}

const echo = (params: Struct): Promise<Outcome> =>
  Promise.resolve({ kind: 'result', result: params })
const adding =
  (added: Struct) =>
  (params: Struct): Promise<Outcome> =>
    Promise.resolve({ kind: 'result', result: { ...params, ...added } })

function event(otherwise: Partial<ObservedEvent> = {}): ObservedEvent {
  return { session: sessionOf(), bytes: null, request: null, params: {}, ...otherwise }
}

describe('the steps of a plugin', () => {
  test('are those of the hooks it listed, and no other', () => {
    const steps = stepsOf(['onTrafficFromClient', 'onClosed'], new Owner(echo))
    expect(Object.keys(steps)).toEqual(['onTrafficFromClient', 'observers'])
    expect(Object.keys(steps.observers)).toEqual(['onClosed'])
  })

  test('cover every hook that there is', () => {
    const { observers, ...deciding } = stepsOf(ALL, new Owner(echo))
    expect(Object.keys(deciding).length + Object.keys(observers).length).toBe(21)
  })

  test('get whole batches from the client and whole replies from the server', () => {
    const steps = stepsOf(ALL, new Owner(echo))
    expect(steps.onTrafficFromClient).toMatchObject({
      plugin: 'tried',
      priority: 1003,
      onFailure: 'closed',
      unit: 'batch',
      messages: null,
      needsRequest: true,
      seesEdges: true,
    })
    expect(steps.onTrafficFromServer).toMatchObject({ unit: 'reply', needsRequest: true })
    expect(steps.observers.onTrafficToServer).toMatchObject({ unit: 'batch', messages: null })
    expect(steps.observers.onTrafficToClient).toMatchObject({ unit: 'reply', messages: null })
  })
})

describe('the parameters', () => {
  const session = sessionOf({ lastRequest: OTHER })

  test('of deciding hooks have the names and types of the table', async () => {
    const owner = new Owner(echo)
    const steps = stepsOf(ALL, owner)
    await steps.onOpening?.decide(session)
    await steps.onTrafficFromClient?.decide(session, REQUEST, carriedOf())
    await steps.onTrafficFromServer?.decide(session, REQUEST, carriedOf())
    await steps.onConfigLoaded?.decide({ 'servers.default.tickInterval': 5_000_000_000 })
    await steps.onRun?.decide({ address: '0.0.0.0:15432' })
    expect(owner.told).toEqual([
      ['onOpening', { client: CLIENT }],
      ['onTrafficFromClient', { client: CLIENT, server: SERVER, error: '', request: REQUEST }],
      [
        'onTrafficFromServer',
        { client: CLIENT, server: SERVER, error: '', request: OTHER, response: REQUEST },
      ],
      ['onConfigLoaded', { 'servers.default.tickInterval': 5_000_000_000 }],
      ['onRun', { address: '0.0.0.0:15432' }],
    ])
  })

  test('of observing hooks have the names and types of the table', async () => {
    const owner = new Owner(echo)
    const { observers } = stepsOf(ALL, owner)
    await observers.onOpened?.tell(event())
    await observers.onTraffic?.tell(event())
    await observers.onClosing?.tell(event({ params: { error: 'reset' } }))
    await observers.onClosed?.tell(event())
    await observers.onTrafficToServer?.tell(event({ bytes: REQUEST }))
    await observers.onTrafficToClient?.tell(event({ bytes: OTHER, request: REQUEST }))
    await observers.onTrafficToClient?.tell(event({ bytes: OTHER }))
    await observers.onTick?.tell(event({ session: null, params: { connections: 3 } }))
    await observers.onBooting?.tell(event({ session: null, params: { status: '1' } }))
    const empty = new Uint8Array(0)
    const both = { client: CLIENT, server: SERVER, error: '' }
    expect(owner.told).toEqual([
      ['onOpened', { client: CLIENT }],
      ['onTraffic', { client: CLIENT }],
      ['onClosing', { client: CLIENT, error: 'reset' }],
      ['onClosed', { client: CLIENT, error: '' }],
      ['onTrafficToServer', { ...both, request: REQUEST }],
      ['onTrafficToClient', { ...both, request: REQUEST, response: OTHER }],
      ['onTrafficToClient', { ...both, request: empty, response: OTHER }],
      ['onTick', { connections: 3 }],
      ['onBooting', { status: '1' }],
    ])
  })

  test('include the fields of earlier plugins, which cannot pass for parameters', async () => {
    const owner = new Owner(echo)
    const carried = { fields: { seen: true, error: 'forged' }, about: REQUEST }
    await stepsOf(ALL, owner).onTrafficFromClient?.decide(session, REQUEST, carried)
    expect(owner.told[0]?.[1]).toMatchObject({ seen: true, error: '' })
  })
})

describe('the answers', () => {
  const decide = (owner: Owner, carried = carriedOf()) =>
    stepsOf(ALL, owner).onTrafficFromClient?.decide(sessionOf(), REQUEST, carried)

  test('become verdicts, and what they add is carried', async () => {
    const carried = carriedOf()
    expect(await decide(new Owner(adding({ seen: true, request: OTHER })), carried)).toEqual({
      kind: 'replace',
      bytes: OTHER,
    })
    expect(carried.fields).toEqual({ seen: true })
    expect(carried.about).toEqual(OTHER)
  })

  test('that complain are counted failures and carry nothing', async () => {
    const carried = { fields: { before: 1 }, about: REQUEST }
    const owner = new Owner(adding({ error: 'unwell', seen: true }))
    expect(await decide(owner, carried)).toEqual({ kind: 'failure', cause: 'it reports: unwell' })
    expect(owner.failures).toEqual(['onTrafficFromClient: it reports: unwell'])
    expect(carried).toEqual({ fields: { before: 1 }, about: REQUEST })
  })

  test('of a plugin that cannot be called need no promise', () => {
    const failure = { kind: 'failure', cause: 'the process was killed by SIGSEGV' } as const
    const steps = stepsOf(ALL, new Owner(() => failure))
    expect(decide(new Owner(() => failure))).toBe(failure)
    expect(steps.onOpening?.decide(sessionOf())).toBe(failure)
    expect(steps.onRun?.decide({})).toBe(failure)
    expect(steps.observers.onClosed?.tell(event())).toBe(false)
  })

  test('to settings are merged, and to an opening they close', async () => {
    const terminate = [{ name: 'terminate', metadata: { terminate: true } }]
    const owner = new Owner(adding({ address: '0.0.0.0:1', __signals__: terminate }))
    const steps = stepsOf(ALL, owner)
    expect(await steps.onRun?.decide({ address: '0.0.0.0:2' })).toEqual({
      kind: 'merge',
      changes: { address: '0.0.0.0:1' },
      isLast: true,
    })
    expect(await steps.onOpening?.decide(sessionOf())).toEqual({ kind: 'close' })
  })

  test('of observers are true, and false with a counted failure where they decide', async () => {
    expect(await stepsOf(ALL, new Owner(echo)).observers.onClosed?.tell(event())).toBe(true)
    const owner = new Owner(adding({ __terminal__: true }))
    expect(await stepsOf(ALL, owner).observers.onClosed?.tell(event())).toBe(false)
    expect(owner.failures).toEqual([
      'onClosed: it returned a verdict, which this hook does not take',
    ])
  })
})
