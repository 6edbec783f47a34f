"""Creates a stack from a template as an operator would, and prints what `aws cloudformation describe-stacks` prints.

Told on standard input, as JSON: endpoint, template (a path), parameters; maybe name, code (a bucket for the triggers),
secrets, program (to be zipped as `bootstrap` there), upstream (two APIs in front of it are to get an authorizer),
network (that the parameters name one), user (an address, with a password), then (what a second deployment
changes, which leaves the other parameters as they are), and taken (a prefix of the hosted UI that somebody else has). Of
a stack that is refused it prints the reason; of one that is rolled back, its state and the user pools that are left.
"""

import io
import json
import pathlib
import sys
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

told = json.load(sys.stdin)
NAME, REGION = told.get("name", "people"), "eu-west-1"


def client(service):
    return boto3.client(
        service,
        endpoint_url=told["endpoint"],
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}),
    )


if "code" in told:
    client("s3").create_bucket(Bucket=told["code"], CreateBucketConfiguration={"LocationConstraint": REGION})
    client("s3").put_object(Bucket=told["code"], Key="cognito-triggers.zip", Body=bytes.fromhex("504b0506" + "00" * 18))
if "program" in told:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(told["program"], "bootstrap")
    client("s3").put_object(Bucket=told["code"], Key="api-gateway-authorizer.zip", Body=code.getvalue())
if "upstream" in told:
    rest, http = client("apigateway"), client("apigatewayv2")
    rest_api = rest.create_rest_api(name="rest")["id"]
    http_api = http.create_api(Name="http", ProtocolType="HTTP")["ApiId"]
    told["parameters"] |= {"RestApi": rest_api, "HttpApi": http_api}
if told.get("network"):
    machines = client("ec2")
    vpc = machines.describe_vpcs()["Vpcs"][0]
    subnets = machines.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    subnets = ",".join(subnet["SubnetId"] for subnet in subnets[:2])
    certificate = client("acm").request_certificate(DomainName="auth-api.example.com")["CertificateArn"]
    told["parameters"] |= {"Vpc": vpc["VpcId"], "VpcCidrs": vpc["CidrBlock"], "Certificate": certificate}
    told["parameters"] |= {"PublicSubnets": subnets, "PrivateSubnets": subnets}
for name, secret in told.get("secrets", {}).items():
    client("secretsmanager").create_secret(Name=name, SecretString=secret)

if "taken" in told:
    users = client("cognito-idp")
    other = users.create_user_pool(PoolName="somebody else's")["UserPool"]["Id"]
    users.create_user_pool_domain(UserPoolId=other, Domain=told["taken"])

stacks = client("cloudformation")
template = {
    "StackName": NAME,
    "TemplateBody": pathlib.Path(told["template"]).read_text(),
    "Capabilities": ["CAPABILITY_IAM"],
}


def wait(state):
    try:
        stacks.get_waiter(state).wait(StackName=NAME, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})
    except Exception as failure:
        if "taken" in told:
            pools = client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"]
            [stack] = stacks.describe_stacks(StackName=NAME)["Stacks"]
            print(json.dumps({"state": stack["StackStatus"], "pools": [pool["Name"] for pool in pools]}))
            sys.exit()
        events = stacks.describe_stack_events(StackName=NAME)["StackEvents"]
        sys.exit(f"{failure}\n" + "\n".join(f"{e['LogicalResourceId']} {e.get('ResourceStatusReason')}" for e in events))


given = [{"ParameterKey": key, "ParameterValue": value} for key, value in told["parameters"].items()]
try:
    stacks.create_stack(**template, Parameters=given)
except ClientError as failure:
    print(json.dumps({"refused": failure.response["Error"]["Message"]}))
    sys.exit()
wait("stack_create_complete")
if "then" in told:
    kept = [{"ParameterKey": key, "UsePreviousValue": True} for key in told["parameters"] if key not in told["then"]]
    changed = [{"ParameterKey": key, "ParameterValue": value} for key, value in told["then"].items()]
    stacks.update_stack(**template, Parameters=kept + changed)
    wait("stack_update_complete")

described = stacks.describe_stacks(StackName=NAME)
answer = {"described": {"Stacks": described["Stacks"]}}
outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Stacks"][0].get("Outputs", [])}
resources = stacks.describe_stack_resources(StackName=NAME)["StackResources"]
# Of what moto does not know, it tells nothing.
answer["resources"] = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources if "PhysicalResourceId" in r}

if "UserPoolId" in outputs:
    users, pool = client("cognito-idp"), outputs["UserPoolId"]
    answer["pool"] = users.describe_user_pool(UserPoolId=pool)["UserPool"]
    answer["domain"] = users.describe_user_pool_domain(Domain=answer["resources"]["Domain"])["DomainDescription"]
    answer["mfa"] = users.get_user_pool_mfa_config(UserPoolId=pool)
    answer["groups"] = users.list_groups(UserPoolId=pool)["Groups"]
    identities = {"IdentityPoolId": outputs["IdentityPoolId"]}
    answer["identities"] = client("cognito-identity").describe_identity_pool(**identities)
    answer["roles"] = client("cognito-identity").get_identity_pool_roles(**identities)
    for name, secret in [("WebClientId", "WebClientSecretArn"), ("MachineClientId", "MachineClientSecretArn")]:
        app = users.describe_user_pool_client(UserPoolId=pool, ClientId=outputs[name])["UserPoolClient"]
        answer[name] = app
        answer[secret] = client("secretsmanager").get_secret_value(SecretId=outputs[secret])["SecretString"]
    if "user" in told:
        address, password = told["user"]["email"], told["user"]["password"]
        attributes = {"email": address, "email_verified": "true", "name": "Jane Doe", "custom:legacy_id": "42"}
        users.admin_create_user(
            UserPoolId=pool,
            Username=address,
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": key, "Value": value} for key, value in attributes.items()],
        )
        users.admin_set_user_password(UserPoolId=pool, Username=address, Password=password, Permanent=True)
        users.admin_add_user_to_group(UserPoolId=pool, Username=address, GroupName="editors")
if "upstream" in told:
    [root] = rest.get_resources(restApiId=rest_api)["items"]
    any_path = rest.create_resource(restApiId=rest_api, parentId=root["id"], pathPart="{proxy+}")["id"]
    method = {"restApiId": rest_api, "resourceId": any_path, "httpMethod": "ANY"}
    rest.put_method(**method, authorizationType="CUSTOM", authorizerId=outputs["RestAuthorizerId"])
    rest.put_integration(**method, type="HTTP_PROXY", integrationHttpMethod="GET", uri=told["upstream"])
    rest.create_deployment(restApiId=rest_api, stageName="prod")
    target = http.create_integration(
        ApiId=http_api,
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="GET",
        IntegrationUri=told["upstream"],
        PayloadFormatVersion="1.0",
    )["IntegrationId"]
    http.create_route(
        ApiId=http_api,
        RouteKey="$default",
        Target=f"integrations/{target}",
        AuthorizationType="CUSTOM",
        AuthorizerId=outputs["HttpAuthorizerId"],
    )
    http.create_stage(ApiId=http_api, StageName="$default", AutoDeploy=True)
    answer["apis"] = [
        f"{told['endpoint']}/restapis/{rest_api}/prod/_user_request_",
        f"{told['endpoint']}/_aws/execute-api/{http_api}/$default",
    ]
if "TriggersRole" in answer["resources"]:
    roles, role = client("iam"), answer["resources"]["TriggersRole"]
    names = roles.list_role_policies(RoleName=role)["PolicyNames"]
    answer["policies"] = [roles.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    function = client("lambda").get_function_configuration(FunctionName=answer["resources"]["Triggers"])
    told_of = ["Runtime", "Handler", "Timeout", "Architectures", "Environment"]
    answer["function"] = {key: function.get(key) for key in told_of}
    answer["permission"] = json.loads(client("lambda").get_policy(FunctionName=answer["resources"]["Triggers"])["Policy"])
if "Task" in answer["resources"]:
    task = client("ecs").describe_task_definition(taskDefinition=answer["resources"]["Task"])["taskDefinition"]
    balancers, groups = client("elbv2"), client("ec2")
    answer["container"] = task["containerDefinitions"][0]
    answer["target"] = balancers.describe_target_groups()["TargetGroups"][0]
    answer["rules"] = balancers.describe_rules(ListenerArn=answer["resources"]["Https"])["Rules"]
    group = groups.describe_security_groups(GroupIds=[answer["resources"]["TaskGroup"]])["SecurityGroups"][0]
    answer["task_group"] = group
print(json.dumps(answer, default=str))
