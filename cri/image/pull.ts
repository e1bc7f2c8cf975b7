import type { AuthConfig, PullImageRequest, PullImageResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import { asKubeletWants, type RegistryAuth } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';

/** Fetches an image and answers with its id. Ends with the caller: another caller of the same image goes on. */
export const pullImage = async (
  runtime: Runtime,
  request: PullImageRequest,
  call: { readonly signal: AbortSignal },
): Promise<PullImageResponse> => {
  const name = request.image?.image ?? '';
  if (name === '') throw invalid('PullImage: image is empty');
  checkHandler(runtime, 'PullImage', request.image?.runtime_handler ?? '');
  const namespace = request.sandbox_config?.metadata?.namespace ?? '';
  try {
    const image_ref = await runtime.images.pull(name, registryAuth(request.auth), {
      signal: call.signal,
      ...(namespace !== '' && { namespace }),
    });
    return { image_ref };
  } catch (error) {
    throw asKubeletWants(error);
  }
};

const registryAuth = (auth: AuthConfig | undefined): RegistryAuth | undefined =>
  auth && {
    username: auth.username,
    password: auth.password,
    auth: auth.auth,
    serverAddress: auth.server_address,
    identityToken: auth.identity_token,
    registryToken: auth.registry_token,
  };
