/** A listener in this process, with steps written in the test: the data path without plugins. */
import { pino } from 'pino'
import { parseAddress } from '../../src/base/address.ts'
import type { ChainStep } from '../../src/hooks/chain.ts'
import type { ObserverDesk } from '../../src/hooks/observers.ts'
import type { FromClientStep, SessionFacts, Unit } from '../../src/hooks/step.ts'
import { CONTINUE, type OpeningVerdict, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { POSTGRES } from '../../src/protocols/postgres/postgres.ts'
import type { Budget, Protocol, Wanted } from '../../src/protocols/protocol.ts'
import { RAW } from '../../src/protocols/raw.ts'
import { type Account, newAccount, type TlsAccount } from '../../src/tcp/account.ts'
import type { Descriptors } from '../../src/tcp/descriptors.ts'
import { Listener } from '../../src/tcp/listener.ts'
import type { Listening } from '../../src/tcp/listening.ts'
import type { ListenerOptions } from '../../src/tcp/surroundings.ts'
import { Tenancy } from '../../src/tcp/tenancy.ts'
import type { TlsOptions } from '../../src/tcp/tls.ts'
import { DatagramListener } from '../../src/tcp/udp/datagram-listener.ts'
import { createBalancer } from '../../src/upstream/balancer.ts'
import { Upstream, type UpstreamOptions } from '../../src/upstream/upstream.ts'

export interface FakeStep {
  readonly decide: (
    bytes: Uint8Array,
    session: SessionFacts,
  ) => TrafficVerdict | Promise<TrafficVerdict>
  readonly unit?: Unit
  readonly onFailure?: 'open' | 'closed'
  /** Message names; left out: all. */
  readonly messages?: readonly string[]
  /** From the client: is also shown the SSLRequest and the end of the client. */
  readonly seesEdges?: boolean
}

export interface ServiceOptions {
  /** Port of the server on 127.0.0.1; more make the blocks `writes`, `reads1`, … */
  readonly upstreams: readonly number[]
  readonly fromClient?: readonly FakeStep[]
  readonly fromServer?: readonly FakeStep[]
  readonly opening?: (session: SessionFacts) => OpeningVerdict | Promise<OpeningVerdict>
  readonly observers?: ObserverDesk
  readonly protocol?: Protocol
  readonly sessionsMax?: number
  /** TLS to clients, which counts here. */
  readonly tls?: (account: TlsAccount) => TlsOptions
  readonly descriptors?: Descriptors
  readonly loginTimeoutMs?: number
  readonly idleTimeoutMs?: number
  readonly messageBytesMax?: number
  readonly bufferedBytesMax?: number
  /** The request last sent is kept for steps, as where one asks for it. */
  readonly keepsRequest?: boolean
  /** Clients and servers speak so; `udp` by `startDatagrams` alone. */
  readonly network?: 'tcp' | 'udp'
  /** How upstreams are dialled, over the defaults. */
  readonly dial?: Partial<UpstreamOptions>
}

export interface Service<Kind extends Listening = Listener> {
  readonly port: number
  readonly account: Account
  readonly budget: Budget
  /** What steps failed with, as `hook: cause`. */
  readonly failures: string[]
  /** The hook of each refusal by a step. */
  readonly denials: string[]
  /** Why upstreams were not reached, as `block: cause`. */
  readonly unreached: string[]
  readonly listener: Kind
  /** Of the blocks that it was started with, in their order. */
  readonly upstreams: readonly Upstream[]
  /** Of what it was started with. */
  readonly tenancy: Tenancy
  /** Has it work by other options, as a reload does; returns their tenancy. */
  renew(changed: Renewal): Tenancy
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A step that lets everything pass, after a promise where `slowly`. */
export function passing(slowly: boolean, unit: Unit = 'message'): FakeStep {
  return { unit, decide: slowly ? async () => CONTINUE : () => CONTINUE }
}

export function startService(options: ServiceOptions): Service {
  return around(options, (first) => {
    const listener = new Listener(first)
    listener.start()
    return listener
  })
}

/** The same for clients and servers that speak in datagrams. */
export async function startDatagrams(over: ServiceOptions): Promise<Service<DatagramListener>> {
  const options: ServiceOptions = { protocol: RAW, network: 'udp', ...over }
  const service = around(options, (first) => new DatagramListener(first))
  await service.listener.prepare()
  service.listener.start()
  return { ...service, port: Number(/:(\d+)/.exec(service.listener.address)?.[1]) }
}

function around<Kind extends Listening>(
  options: ServiceOptions,
  listen: (first: ListenerOptions) => Kind,
): Service<Kind> {
  const account = newAccount()
  const budget: Budget = { held: 0, heldMax: options.bufferedBytesMax ?? 2 ** 28, spent: 0 }
  const failures: string[] = []
  const denials: string[] = []
  const unreached: string[] = []
  const upstreams = options.upstreams.map((port, index) => upstreamOn(port, index, options))
  const lasting: Lasting = {
    account,
    log: pino({ level: 'silent' }),
    stepFailed: (_plugin, hook, cause) => failures.push(`${hook}: ${cause}`),
    denied: (hook) => denials.push(hook),
    upstreamFailed: ({ block }, cause) => unreached.push(`${block}: ${cause}`),
    serverConnected: null,
  }
  const tenancy = new Tenancy()
  const first = listenerOptions({ options, upstreams, budget, lasting, tenancy })
  const listener = listen(first)
  const port = Number(listener.address.split(':').at(-1))
  const stop = (): Promise<void> => listener.drain(0)
  const renew = (changed: Renewal): Tenancy => {
    const next = new Tenancy()
    const others = changed.upstreams?.map((at, index) => upstreamOn(at, index, options))
    const made = { options: { ...options, ...changed }, budget, lasting, tenancy: next }
    listener.renew(listenerOptions({ ...made, upstreams: others ?? upstreams }))
    return next
  }
  const counts = { account, budget, failures, denials, unreached }
  return { port, ...counts, upstreams, tenancy, listener, renew, stop, [Symbol.asyncDispose]: stop }
}

/** What a reload changes; steps that stay must be the same objects, as those of plugins are. */
export type Renewal = Partial<Omit<ServiceOptions, 'dial'>>

type Lasting = Pick<
  ListenerOptions,
  'account' | 'log' | 'stepFailed' | 'denied' | 'upstreamFailed' | 'serverConnected'
>

interface Made {
  readonly options: ServiceOptions
  readonly upstreams: readonly Upstream[]
  readonly budget: Budget
  readonly lasting: Lasting
  readonly tenancy: Tenancy
}

function listenerOptions({ options, upstreams, budget, lasting, tenancy }: Made): ListenerOptions {
  const protocol = options.protocol ?? POSTGRES
  return {
    ...lasting,
    tenancy,
    group: 'default',
    address: { network: options.network ?? 'tcp', host: '127.0.0.1', port: 0 },
    protocol,
    hooks: {
      opening: options.opening ?? null,
      observers: options.observers ?? null,
      fromClient: {
        decides: 'onTrafficFromClient',
        observes: 'onTrafficToServer',
        edges: edgesOf(options.fromClient ?? []),
        observers: options.observers?.of('onTrafficToServer') ?? [],
        keepsRequest: options.keepsRequest ?? false,
        ...direction(protocol, 'client', options.fromClient ?? [], options.observers),
      },
      fromServer: {
        decides: 'onTrafficFromServer',
        observes: 'onTrafficToClient',
        edges: [],
        observers: options.observers?.of('onTrafficToClient') ?? [],
        keepsRequest: false,
        ...direction(protocol, 'server', options.fromServer ?? [], options.observers),
      },
    },
    balancer: createBalancer(upstreams, 'ROUND_ROBIN'),
    pools: new Map(),
    gate: null,
    tls: options.tls?.(lasting.account.tls) ?? null,
    ...(options.descriptors === undefined ? {} : { descriptors: options.descriptors }),
    limits: { messageBytesMax: options.messageBytesMax ?? 2 ** 24, budget },
    sessionsMax: options.sessionsMax ?? 1000,
    loginTimeoutMs: options.loginTimeoutMs ?? 60_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 0,
  }
}

function edgesOf(fakes: readonly FakeStep[]): FromClientStep[] {
  return fakes
    .filter(({ seesEdges }) => seesEdges)
    .map((fake, index) => ({
      plugin: `step${index}`,
      priority: index,
      onFailure: fake.onFailure ?? 'open',
      unit: fake.unit ?? 'message',
      messages: fake.messages ?? null,
      needsRequest: false,
      seesEdges: true,
      decide: (session, bytes) => fake.decide(bytes, session),
    }))
}

/** The upstream of a block, by its place among them. */
export function upstreamOn(
  port: number,
  index: number,
  { dial, network = 'tcp' }: Pick<ServiceOptions, 'dial' | 'network'> = {},
): Upstream {
  return new Upstream({
    group: 'default',
    block: index === 0 ? 'writes' : `reads${index}`,
    address: parseAddress(`127.0.0.1:${port}`, network)!,
    dialTimeoutMs: 5000,
    retries: 0,
    backoffMs: 10,
    backoffMultiplier: 2,
    disableBackoffCaps: false,
    tcpKeepAliveMs: null,
    ...dial,
  })
}

const UNITS: readonly Unit[] = ['message', 'batch', 'reply']

function direction(
  protocol: Protocol,
  from: 'client' | 'server',
  fakes: readonly FakeStep[],
  observers: ObserverDesk | undefined,
): { steps: ChainStep[]; wanted: Wanted } {
  const steps = fakes.map((fake, index) => ({
    plugin: `step${index}`,
    onFailure: fake.onFailure ?? 'open',
    unit: fake.unit ?? 'message',
    tags: fake.messages === undefined ? null : tagsOf(protocol, from, fake.messages),
    step: { decide: decideOf(fake) },
  }))
  if (steps.length === 0 && observers === undefined) {
    return { steps, wanted: { cut: 'message', tags: null } }
  }
  const union = new Uint8Array(256)
  for (const { tags } of steps) {
    for (let tag = 0; tag < 256; tag++) union[tag]! |= tags === null ? 1 : tags[tag]!
  }
  if (observers !== undefined) union.fill(1)
  const widest = Math.max(0, ...steps.map(({ unit }) => UNITS.indexOf(unit)))
  return { steps, wanted: { cut: UNITS[widest]!, tags: union } }
}

type Decide = ChainStep['step']['decide']

const decides = new WeakMap<FakeStep, Decide>()

/** The same for a step in every generation. */
function decideOf(fake: FakeStep): Decide {
  const known = decides.get(fake)
  if (known !== undefined) return known
  const made: Decide = (session, bytes) => fake.decide(bytes, session)
  decides.set(fake, made)
  return made
}

function tagsOf(
  protocol: Protocol,
  from: 'client' | 'server',
  names: readonly string[],
): Uint8Array {
  const tags = new Uint8Array(256)
  for (const name of names) tags[protocol.tag(from, name)!] = 1
  return tags
}
