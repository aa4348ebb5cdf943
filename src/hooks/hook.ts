/**
 * The one table of hooks: their names, their numbers on the plugin wire and whether they decide.
 * Source of names, numbers and order: GatewayD's plugin contract (enum HookName).
 */

interface HookRow {
  /** The name in configuration, manifests and logs. */
  readonly name: string
  /** The number in GatewayD's enum `HookName`; also the order of this table. */
  readonly number: number
  /** `decides`: traffic waits for it. `observes`: nothing waits. `reserved`: never fired. */
  readonly kind: 'decides' | 'observes' | 'reserved'
}

export const HOOKS = [
  { name: 'onConfigLoaded', number: 1, kind: 'decides' },
  { name: 'onNewLogger', number: 2, kind: 'observes' },
  { name: 'onNewPool', number: 3, kind: 'observes' },
  { name: 'onNewClient', number: 4, kind: 'observes' },
  { name: 'onNewProxy', number: 5, kind: 'observes' },
  { name: 'onNewServer', number: 6, kind: 'observes' },
  { name: 'onSignal', number: 7, kind: 'observes' },
  { name: 'onRun', number: 8, kind: 'decides' },
  { name: 'onBooting', number: 9, kind: 'observes' },
  { name: 'onBooted', number: 10, kind: 'observes' },
  { name: 'onOpening', number: 11, kind: 'decides' },
  { name: 'onOpened', number: 12, kind: 'observes' },
  { name: 'onClosing', number: 13, kind: 'observes' },
  { name: 'onClosed', number: 14, kind: 'observes' },
  { name: 'onTraffic', number: 15, kind: 'observes' },
  { name: 'onTrafficFromClient', number: 16, kind: 'decides' },
  { name: 'onTrafficToServer', number: 17, kind: 'observes' },
  { name: 'onTrafficFromServer', number: 18, kind: 'decides' },
  { name: 'onTrafficToClient', number: 19, kind: 'observes' },
  { name: 'onShutdown', number: 20, kind: 'observes' },
  { name: 'onTick', number: 21, kind: 'observes' },
  { name: 'onHook', number: 22, kind: 'reserved' },
] as const satisfies readonly HookRow[]

export type HookName = (typeof HOOKS)[number]['name']
export type HookKind = HookRow['kind']

type Named<Kind extends HookKind> = Extract<(typeof HOOKS)[number], { kind: Kind }>['name']
export type DecidingHook = Named<'decides'>
export type ObservingHook = Named<'observes'>
/** The two deciding hooks that carry traffic. */
export type TrafficHook = 'onTrafficFromClient' | 'onTrafficFromServer'
/** The two deciding hooks that may change settings before the gateway listens. */
export type SettingsHook = 'onConfigLoaded' | 'onRun'

const byName: ReadonlyMap<string, (typeof HOOKS)[number]> = new Map(HOOKS.map((h) => [h.name, h]))
const byNumber: ReadonlyMap<number, (typeof HOOKS)[number]> = new Map(
  HOOKS.map((h) => [h.number, h]),
)

/** The row of a hook by its name, or undefined for a name nobody knows. */
export function hookNamed(name: string): (typeof HOOKS)[number] | undefined {
  return byName.get(name)
}

/** The row of a hook by its number on the plugin wire, or undefined for a number nobody knows. */
export function hookNumbered(number: number): (typeof HOOKS)[number] | undefined {
  return byNumber.get(number)
}

/** `onTrafficFromClient` as the export name of a WASM plugin: `on_traffic_from_client`. */
export function snakeCase(hook: HookName): string {
  return hook.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** `onTrafficFromClient` as the method name of a gRPC plugin: `OnTrafficFromClient`. */
export function methodName(hook: HookName): string {
  return hook.charAt(0).toUpperCase() + hook.slice(1)
}
