"""AWS: a policy as one CloudFormation template."""

from vallum.exporters.aws.export import Aws

__all__ = ["Aws"]
