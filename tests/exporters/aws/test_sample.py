"""All that is to be said of a REST API with its request model, its throttling and its web ACL, item by item."""

from __future__ import annotations

from typing import Any

import pytest
from tests.exporters.aws.reading import EXAMPLES, export_file, properties, read

SAMPLE = EXAMPLES / "gateways" / "aws.yaml"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return read(export_file(SAMPLE, signed=True))


@pytest.fixture(scope="module")
def method(found: dict[str, Any]) -> dict[str, Any]:
    ((_, one),) = properties(found, "AWS::ApiGateway::Method").items()
    return one


@pytest.fixture(scope="module")
def acl(found: dict[str, Any]) -> dict[str, Any]:
    ((_, one),) = properties(found, "AWS::WAFv2::WebACL").items()
    return one


def rule(acl: dict[str, Any], priority: int) -> dict[str, Any]:
    (one,) = [rule for rule in acl["Rules"] if rule["Priority"] == priority]
    assert isinstance(one, dict)
    return one


def test_there_is_a_rest_api_called_ml_inference_api(found: dict[str, Any]) -> None:
    ((_, api),) = properties(found, "AWS::ApiGateway::RestApi").items()
    assert api["Name"] == "ML-Inference-API"


def test_there_is_a_resource_called_predict(found: dict[str, Any]) -> None:
    ((_, resource),) = properties(found, "AWS::ApiGateway::Resource").items()
    assert resource["PathPart"] == "predict"
    assert resource["ParentId"] == {"Fn::GetAtt": ["Api", "RootResourceId"]}


def test_it_takes_post_from_callers_who_sign(method: dict[str, Any]) -> None:
    assert (method["HttpMethod"], method["AuthorizationType"]) == ("POST", "AWS_IAM")


def test_the_method_leads_to_the_upstream(method: dict[str, Any], found: dict[str, Any]) -> None:
    assert method["Integration"]["Uri"] == {"Fn::Sub": "${UpstreamMLInferenceAPIUrl}/predict"}
    assert found["Parameters"]["UpstreamMLInferenceAPIUrl"]["Default"] == "https://inference.example"


def test_bodies_are_held_against_the_request_model(method: dict[str, Any], found: dict[str, Any]) -> None:
    validator = found["Resources"][method["RequestValidatorId"]["Ref"]]
    assert validator["Type"] == "AWS::ApiGateway::RequestValidator"
    assert validator["Properties"]["ValidateRequestBody"] is True
    model = found["Resources"][method["RequestModels"]["application/json"]["Ref"]]["Properties"]
    assert (model["Name"], model["ContentType"]) == ("PredictRequestModel", "application/json")
    assert model["Schema"]["required"] == ["input_text"]


def test_another_content_type_does_not_go_around_the_model(method: dict[str, Any]) -> None:
    assert method["RequestModels"]["$default"] == method["RequestModels"]["application/json"]
    assert method["Integration"]["PassthroughBehavior"] == "NEVER"


def test_the_method_answers_200_and_429(method: dict[str, Any]) -> None:
    assert {"200", "429"} <= {response["StatusCode"] for response in method["MethodResponses"]}


@pytest.mark.parametrize("kind", ["THROTTLED", "QUOTA_EXCEEDED"])
def test_who_is_throttled_gets_429(found: dict[str, Any], kind: str) -> None:
    (one,) = [
        response
        for response in properties(found, "AWS::ApiGateway::GatewayResponse").values()
        if response["ResponseType"] == kind
    ]
    assert one["StatusCode"] == "429"
    assert "gatewayresponse.header.Retry-After" in one["ResponseParameters"]


def test_the_api_is_deployed_and_staged(found: dict[str, Any]) -> None:
    ((name, _),) = properties(found, "AWS::ApiGateway::Deployment").items()
    ((_, stage),) = properties(found, "AWS::ApiGateway::Stage").items()
    assert stage["DeploymentId"] == {"Ref": name}


def test_there_is_a_web_acl_called_ml_api_protection(acl: dict[str, Any]) -> None:
    assert (acl["Name"], acl["Scope"], acl["DefaultAction"]) == ("ML-API-Protection", "REGIONAL", {"Allow": {}})
    assert acl["VisibilityConfig"]["CloudWatchMetricsEnabled"] is True


def test_its_first_rule_blocks_addresses_over_a_hundred(acl: dict[str, Any]) -> None:
    one = rule(acl, 1)
    assert one["Statement"] == {
        "RateBasedStatement": {"Limit": 100, "EvaluationWindowSec": 300, "AggregateKeyType": "IP"}
    }
    assert one["Action"]["Block"]["CustomResponse"]["ResponseCode"] == 429
    assert one["VisibilityConfig"]["MetricName"] == "RateLimit"


def test_its_second_rule_blocks_sql_in_the_body(acl: dict[str, Any]) -> None:
    statement = rule(acl, 2)["Statement"]["SqliMatchStatement"]
    assert statement["TextTransformations"] == [{"Priority": 0, "Type": "URL_DECODE"}]
    assert statement["FieldToMatch"] == {"Body": {"OversizeHandling": "MATCH"}}
    assert "Block" in rule(acl, 2)["Action"]


def test_the_web_acl_stands_before_the_stage_and_is_logged_without_credentials(found: dict[str, Any]) -> None:
    ((name, _),) = properties(found, "AWS::WAFv2::WebACL").items()
    ((_, association),) = properties(found, "AWS::WAFv2::WebACLAssociation").items()
    assert association["WebACLArn"] == {"Fn::GetAtt": [name, "Arn"]}
    assert association["ResourceArn"]["Fn::Sub"].endswith("/restapis/${Api}/stages/${Stage}")
    ((_, logging),) = properties(found, "AWS::WAFv2::LoggingConfiguration").items()
    assert {"SingleHeader": {"Name": "authorization"}} in logging["RedactedFields"]
    assert {"SingleHeader": {"Name": "x-api-key"}} in logging["RedactedFields"]


def test_it_is_served_by_vallum_too() -> None:
    made = export_file(SAMPLE)
    assert not [loss for loss in made.losses if loss.where.startswith("web_acls") and loss.kind == "lost"]
