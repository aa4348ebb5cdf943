/** Checks what a plugin's manifest says about its metrics, and says what is wrong with it. */
import { GatewayError } from '../base/errors.ts'
import { claimedNames, LABEL_NAME, METRIC_NAME, OWN_PREFIX, PLUGIN_LABEL } from './family.ts'
import type { MetricSpec } from './meter.ts'

const METRICS_MAX = 128
const NAME_LENGTH_MAX = 128
const HELP_LENGTH_MAX = 1024
const LABELS_MAX = 16
const BUCKETS_MAX = 64

/** Where a histogram names none: Prometheus' usual ones, for seconds. */
export const defaultBuckets: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** Throws PLUGIN_MANIFEST naming the plugin, the metric and the cure. */
export function checkSpecs(plugin: string, specs: readonly MetricSpec[]): void {
  if (specs.length > METRICS_MAX) {
    refuse(plugin, `it declares ${specs.length} metrics; at most ${METRICS_MAX} are permitted`)
  }
  const claimed = new Map<string, string>()
  for (const [index, spec] of specs.entries()) {
    const wrong = wrongName(spec.name) ?? wrongShape(spec) ?? wrongLabels(spec)
    const what = METRIC_NAME.test(spec.name) ? spec.name : `metrics[${index}]`
    if (wrong !== null) refuse(plugin, `${what}: ${wrong}`)
    for (const name of claimedNames(spec.name, spec.type)) {
      const other = claimed.get(name)
      if (other === what) refuse(plugin, `${what}: is declared twice; remove one`)
      if (other !== undefined) refuse(plugin, `${what}: clashes with ${other}; rename one of them`)
      claimed.set(name, what)
    }
  }
}

function refuse(plugin: string, what: string): never {
  throw new GatewayError('PLUGIN_MANIFEST', `${plugin}: its manifest's metrics: ${what}`)
}

function wrongName(name: string): string | null {
  if (!METRIC_NAME.test(name)) {
    const shown = JSON.stringify(name.slice(0, NAME_LENGTH_MAX))
    return `the name ${shown} must match ${METRIC_NAME.source}`
  }
  if (name.length > NAME_LENGTH_MAX) return `the name is longer than ${NAME_LENGTH_MAX} characters`
  if (name.startsWith(OWN_PREFIX)) {
    return `names that begin with ${OWN_PREFIX} are the gateway's own; choose another`
  }
  return null
}

function wrongShape({ type, help, buckets }: MetricSpec): string | null {
  if (type !== 'counter' && type !== 'gauge' && type !== 'histogram') {
    return `the type must be counter, gauge or histogram, not ${JSON.stringify(type)}`
  }
  if (help.length > HELP_LENGTH_MAX) return `help is longer than ${HELP_LENGTH_MAX} characters`
  if (buckets === undefined) return null
  if (type !== 'histogram') return `only a histogram has buckets, not a ${type}`
  return wrongBuckets(buckets)
}

function wrongBuckets(buckets: readonly number[]): string | null {
  if (buckets.length === 0 || buckets.length > BUCKETS_MAX) {
    return `buckets must be between 1 and ${BUCKETS_MAX} numbers; leave them out for the usual ones`
  }
  const ascending = buckets.every((bound, index) => bound > (buckets[index - 1] ?? -Infinity))
  if (!ascending || !buckets.every(Number.isFinite)) {
    return 'buckets must be finite numbers, each larger than the one before'
  }
  return null
}

function wrongLabels({ labels, type }: MetricSpec): string | null {
  if (labels.length > LABELS_MAX) return `it has more than ${LABELS_MAX} labels`
  for (const [index, label] of labels.entries()) {
    const shown = JSON.stringify(label.slice(0, NAME_LENGTH_MAX))
    if (!LABEL_NAME.test(label) || label.length > NAME_LENGTH_MAX) {
      return `the label ${shown} must match ${LABEL_NAME.source} and be short`
    }
    if (label.startsWith('__')) return `the label ${shown} begins with __, which is Prometheus' own`
    if (label === PLUGIN_LABEL) return `the label ${shown} is set by the gateway; leave it out`
    if (type === 'histogram' && label === 'le') return 'the label "le" belongs to the buckets'
    if (labels.indexOf(label) !== index) return `the label ${shown} is named twice`
  }
  return null
}
