/** Where the data of plugins are shared, as the configuration says it. */
import { readFileSync } from 'node:fs'
import { GatewayError } from '../../base/errors.ts'
import type { PluginsConfig } from '../../config/plugin-schema.ts'

export interface SharingSettings {
  /** With user and password in it: never to be shown. */
  readonly url: string
  /** HOST:PORT/DATABASE, to be shown. */
  readonly place: string
  readonly prefix: string
  /** Authorities (PEM) that the server's certificate is checked against; null: the system's. */
  readonly authorities: string | null
  readonly stalenessMaxMs: number
  readonly timeoutMs: number
  readonly queuedMax: number
}

const PORT = '6379'

/** Null where nothing is shared. Throws CONFIG_INVALID where a file cannot be read. */
export function sharingSettings(config: PluginsConfig): SharingSettings | null {
  const { store, storeRootCert } = config
  if (store === '') return null
  const { hostname, port, pathname } = new URL(store)
  return {
    url: store,
    place: `${hostname}:${port || PORT}${pathname === '' ? '/0' : pathname}`,
    prefix: config.storePrefix,
    authorities: storeRootCert === '' ? null : authorities(storeRootCert),
    stalenessMaxMs: config.storeStalenessMax,
    timeoutMs: config.storeTimeout,
    queuedMax: config.storeQueuedMax,
  }
}

function authorities(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `storeRootCert: ${path} cannot be read`, { cause })
  }
}
