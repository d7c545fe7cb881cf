"""The User Adapter: temporal projection and learnable tokens, in front of any base model.

Source: the paper, section 4.1 (after UserAdapter, Zhong et al. 2021): the Conv1D that projects
each modality moves out of the base model, and a learnable token is appended, h = [X_hat, u] with
u = MLP(u').
"""

import jax.numpy as jnp
from flax import linen as nn

from persona_jax.model.initialisers import torch_uniform
from persona_jax.model.products import conv_general_dilated
from persona_jax.types import Array

TOKEN_HIDDEN_WIDTH = 512  # paper, section 5.3


class UserAdapter(nn.Module):
  """Projects every modality to one width and appends its user tokens.

  Attributes:
    width: E.
    prompt_length: P, tokens per modality.
    kernel_sizes: {modality: steps of the temporal Conv1D}.
    language_dropout: dropout on the raw word vectors (MulT's public code drops language alone).
    padding: of the convolution; 'SAME' keeps T and ignores padding, 'VALID' is the reference's.
    distilling: append a distillation token behind the user tokens (Touvron et al. 2021, DeiT,
      https://arxiv.org/abs/2012.12877).
  """

  width: int
  prompt_length: int
  kernel_sizes: dict[str, int]
  language_dropout: float
  padding: str = 'SAME'
  distilling: bool = False

  @nn.compact
  def __call__(
    self, sequences: dict[str, Array], masks: dict[str, Array], train: bool
  ) -> tuple[dict[str, Array], dict[str, Array]]:
    """{modality: [B, T_m, D_m]}, masks -> {modality: [B, T_m + P, E]}, masks.

    P + 1 takes the place of P if `distilling`.
    """
    projected, extended = {}, {}
    for modality, sequence in sequences.items():
      if modality == 'language':
        sequence = nn.Dropout(self.language_dropout, deterministic=not train)(sequence)
      frames = nn.Conv(
        self.width,
        (self.kernel_sizes[modality],),
        padding=self.padding,
        use_bias=False,
        kernel_init=torch_uniform(),
        conv_general_dilated=conv_general_dilated,
        name=f'{modality}_projection',
      )(sequence)
      mask = masks[modality][:, masks[modality].shape[1] - frames.shape[1] :]
      tokens = UserTokens(self.prompt_length, self.width, name=f'{modality}_tokens')()
      if self.distilling:
        distillation = UserTokens(1, self.width, name=f'{modality}_distillation_token')()
        tokens = jnp.concatenate([tokens, distillation])
      batch = len(frames)
      projected[modality] = jnp.concatenate(
        [frames, jnp.broadcast_to(tokens, (batch, *tokens.shape))], axis=1
      )
      extended[modality] = jnp.concatenate([mask, jnp.ones((batch, len(tokens)), bool)], axis=1)
    return projected, extended


class UserTokens(nn.Module):
  """u = MLP(u'), [P, E]; re-parametrised for stability, as prefix tuning is (Li and Liang 2021)."""

  prompt_length: int
  width: int

  @nn.compact
  def __call__(self) -> Array:
    raw = self.param('embedding', nn.initializers.normal(1.0), (self.prompt_length, self.width))
    hidden = jnp.tanh(nn.Dense(TOKEN_HIDDEN_WIDTH, name='hidden')(raw))
    return nn.Dense(self.width, name='output')(hidden)
