/** What `npm run soak` may be asked. */
import { parseArgs } from 'node:util'

export const PLUGIN_NAMES = ['audit', 'firewall', 'cache', 'mask', 'rate-limit'] as const
export type PluginName = (typeof PLUGIN_NAMES)[number]

export const HELP = `npm run soak -- [options]
      --minutes N      how long, fractions too (60); growth is judged from 10 on
      --plugins LIST   of ${PLUGIN_NAMES.join(',')} (all), each before a gateway of its own
      --rate N         statements a second for each of them (200)
      --json           at the end one object a plugin instead of the table
`

/** A load that nobody asked for by mistake, on loopback. */
const RATE_MAX = 20_000
const MINUTES_MAX = 7 * 24 * 60

export interface SoakOptions {
  readonly help: boolean
  readonly minutes: number
  readonly plugins: readonly PluginName[]
  readonly rate: number
  readonly json: boolean
}

/** Throws with the option that is wrong. */
export function readOptions(argv: readonly string[]): SoakOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: 'string', default: '60' },
      plugins: { type: 'string', default: PLUGIN_NAMES.join(',') },
      rate: { type: 'string', default: '200' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false, short: 'h' },
    },
  })
  return {
    help: values.help,
    minutes: numberUpTo('--minutes', values.minutes, MINUTES_MAX),
    plugins: [...new Set(values.plugins.split(',').map(pluginNamed))],
    rate: numberUpTo('--rate', values.rate, RATE_MAX),
    json: values.json,
  }
}

function numberUpTo(option: string, value: string, most: number): number {
  const found = Number(value)
  if (found > 0 && found <= most) return found
  throw new Error(
    `${option}: a number above 0, at most ${most}, is wanted, not ${JSON.stringify(value)}`,
  )
}

function pluginNamed(name: string): PluginName {
  const found = PLUGIN_NAMES.find((plugin) => plugin === name)
  if (found !== undefined) return found
  throw new Error(`--plugins: ${JSON.stringify(name)} is none of ${PLUGIN_NAMES.join(', ')}`)
}
