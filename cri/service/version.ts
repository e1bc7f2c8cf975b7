import type { VersionRequest, VersionResponse } from '../../api/generated/types.ts';
import { version } from '../version.ts';

/** `version` is that of the kubelet's runtime API, which has been 0.1.0 from the start. */
export const versionOf = (_request: VersionRequest): VersionResponse => ({
  version: '0.1.0',
  runtime_name: 'berth',
  runtime_version: version,
  runtime_api_version: 'v1',
});
