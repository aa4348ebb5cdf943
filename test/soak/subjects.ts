/** The plugins of the soak by their names. */
import type { PluginName } from './options.ts'
import type { Subject } from './subject.ts'
import { AUDIT } from './subject-audit.ts'
import { CACHE } from './subject-cache.ts'
import { FIREWALL } from './subject-firewall.ts'
import { MASK } from './subject-mask.ts'
import { RATE_LIMIT } from './subject-rate-limit.ts'

export const SUBJECTS: Readonly<Record<PluginName, Subject>> = {
  audit: AUDIT,
  firewall: FIREWALL,
  cache: CACHE,
  mask: MASK,
  'rate-limit': RATE_LIMIT,
}
