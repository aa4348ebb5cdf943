/** A metric family: the unit of a Prometheus page, in our registry and in the pages of plugins. */
import { Gauge, type Registry } from 'prom-client'

/** The types that text format 0.0.4 knows. */
export const FAMILY_TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'] as const
export type FamilyType = (typeof FAMILY_TYPES)[number]

export function isFamilyType(text: string): text is FamilyType {
  return FAMILY_TYPES.some((type) => type === text)
}

/** A family ready to be printed. */
export interface Family {
  readonly name: string
  readonly type: FamilyType
  /** Escaped as it stands on a page; "" for none. */
  readonly help: string
  /** One sample each, without the line feed. */
  readonly lines: readonly string[]
}

/** The name, type and help of a family, before there is any sample. */
export interface FamilyHead {
  readonly name: string
  readonly type: FamilyType
  readonly help: string
}

/** One sample of a family; `metricName` where it is not the family's own (`…_bucket`). */
export interface FamilyValue {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  readonly metricName?: string
}

export type ReadValues = () => readonly FamilyValue[] | Promise<readonly FamilyValue[]>

export const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
export const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/

/** The label that tells whose metric it is. */
export const PLUGIN_LABEL = 'plugin'
/** Families of these names are the gateway's own. */
export const OWN_PREFIX = 'postern_'

const SUFFIXES: Readonly<Record<FamilyType, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  untyped: [''],
  summary: ['', '_sum', '_count'],
  histogram: ['_bucket', '_sum', '_count', ''],
}

/**
 * All names that samples of a family may have, its own among them. Two families that share one
 * make a page that Prometheus' own parser refuses wholly.
 */
export function claimedNames(name: string, type: FamilyType): readonly string[] {
  return SUFFIXES[type].map((suffix) => name + suffix)
}

/**
 * Puts a family into a registry whose values are read when the page is asked for. It stands there
 * as a gauge that answers for itself: prom-client's own series are found by a text in which two
 * different sets of labels can meet, and it wants all label names beforehand.
 */
export function registerFamily(registry: Registry, head: FamilyHead, read: ReadValues): void {
  const { name, type } = head
  // prom-client refuses a family without help; the page then leaves the line out.
  const family = new Gauge({ name, help: head.help || name, registers: [registry] })
  const get = async () => ({ name, type, help: head.help, values: await read() })
  Object.assign(family, { get, type })
}

/** All families of a registry, in the order in which they were registered. */
export async function familiesOf(registry: Registry): Promise<readonly Family[]> {
  const names = registry.getMetricsAsArray().map((metric) => metric.name)
  return Promise.all(
    names.map(async (name) => familyOfText(name, await registry.getSingleMetricAsString(name))),
  )
}

/** prom-client gives a family as text: a line of help, one of type, and the samples. */
function familyOfText(name: string, text: string): Family {
  const [help = '', type = '', ...lines] = text.split('\n')
  const typeName = type.slice(`# TYPE ${name} `.length)
  return {
    name,
    type: isFamilyType(typeName) ? typeName : 'untyped',
    help: help.slice(`# HELP ${name} `.length),
    lines,
  }
}
